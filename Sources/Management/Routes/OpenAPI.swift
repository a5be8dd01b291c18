/// The API as OpenAPI 3.1, served at `/openapi.json`. A test asks every route for what this says.
enum OpenAPI {
    static let document = #"""
        {
          "openapi": "3.1.0",
          "info": {
            "title": "ml-service",
            "version": "1",
            "description": "Trains, lists and promotes the models that score a stream of financial transactions."
          },
          "components": {
            "securitySchemes": {
              "adminKey": { "type": "http", "scheme": "bearer", "description": "Also accepted as X-Admin-Key." }
            },
            "schemas": {
              "Problem": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                  "type": { "type": "string" },
                  "title": { "type": "string" },
                  "status": { "type": "integer" },
                  "detail": { "type": "string" },
                  "field": { "type": "string", "description": "The field at fault, date_range.start say." }
                }
              },
              "TrainRequest": {
                "type": "object",
                "required": ["date_range"],
                "properties": {
                  "user_id": { "type": "string", "description": "Absent: the global model." },
                  "all_users": { "type": "boolean", "default": false },
                  "date_range": {
                    "type": "object",
                    "required": ["start", "end"],
                    "properties": {
                      "start": { "type": "string", "format": "date" },
                      "end": { "type": "string", "format": "date", "description": "Inclusive." }
                    }
                  },
                  "detector": { "type": "string", "default": "auto", "description": "auto: the best on the holdout of all that the data allow." },
                  "parameters": { "type": "object" },
                  "contamination": { "type": "number", "default": 0.01 },
                  "encoding": {
                    "type": "string", "enum": ["one-hot", "native"],
                    "description": "What categories become; default: native for detectors that make use of them."
                  },
                  "seed": { "type": "integer", "default": 0 },
                  "promotion": {
                    "type": "string", "enum": ["gated", "manual", "auto"], "default": "gated",
                    "description": "gated: it serves if it is no worse than the active version on the same holdout and keeps its alert budget there; manual: a candidate; auto: it serves."
                  },
                  "promote": { "type": "boolean", "description": "false: as promotion manual." }
                }
              }
            }
          },
          "paths": {
            "/v1/train": {
              "post": {
                "summary": "Train a model",
                "security": [{ "adminKey": [] }],
                "parameters": [
                  { "name": "Idempotency-Key", "in": "header", "schema": { "type": "string" } }
                ],
                "requestBody": {
                  "required": true,
                  "content": { "application/json": { "schema": { "$ref": "#/components/schemas/TrainRequest" } } }
                },
                "responses": { "202": { "description": "Accepted: job_id" }, "default": { "$ref": "#/components/schemas/Problem" } }
              }
            },
            "/v1/train/{job_id}": {
              "get": {
                "summary": "A training job: state, stage, progress, metrics, error",
                "parameters": [{ "name": "job_id", "in": "path", "required": true, "schema": { "type": "string" } }],
                "responses": { "200": { "description": "The job" }, "404": { "description": "No such job" } }
              }
            },
            "/v1/models": {
              "get": {
                "summary": "The versions of a tenant's models, newest first",
                "parameters": [{ "name": "user_id", "in": "query", "schema": { "type": "string" } }],
                "responses": { "200": { "description": "An array: version, accuracy, active, ..." } }
              }
            },
            "/v1/models/{version}/drift": {
              "get": {
                "summary": "How a serving version's alerts, scores and features have moved from its training",
                "parameters": [
                  { "name": "version", "in": "path", "required": true, "schema": { "type": "string" }, "description": "3 or v3" },
                  { "name": "user_id", "in": "query", "schema": { "type": "string" } }
                ],
                "responses": { "200": { "description": "Alert rate and budget of the last hour, population stability indices" }, "404": { "description": "This process has not scored with it" } }
              }
            },
            "/v1/models/{version}/promote": {
              "post": {
                "summary": "Make a version the active one; an older one rolls back",
                "security": [{ "adminKey": [] }],
                "parameters": [
                  { "name": "version", "in": "path", "required": true, "schema": { "type": "string" }, "description": "3 or v3" },
                  { "name": "user_id", "in": "query", "schema": { "type": "string" } },
                  { "name": "reason", "in": "query", "schema": { "type": "string" } }
                ],
                "responses": { "200": { "description": "The change" }, "404": { "description": "No such version" } }
              }
            },
            "/v1/users/{user_id}": {
              "delete": {
                "summary": "Remove a user's models and window",
                "security": [{ "adminKey": [] }],
                "parameters": [{ "name": "user_id", "in": "path", "required": true, "schema": { "type": "string" } }],
                "responses": { "204": { "description": "Removed" } }
              }
            },
            "/v1/detectors": {
              "get": { "summary": "Loaded detectors, and libraries that were refused", "responses": { "200": { "description": "loaded, refused" } } }
            },
            "/v1/detectors/rescan": {
              "post": {
                "summary": "Look for new plugins now",
                "security": [{ "adminKey": [] }],
                "responses": { "200": { "description": "loaded, refused" } }
              }
            },
            "/healthz": { "get": { "summary": "Alive", "responses": { "200": { "description": "ok" } } } },
            "/readyz": {
              "get": {
                "summary": "Ready to serve, or why not",
                "responses": { "200": { "description": "ready" }, "503": { "description": "not ready, with reasons" } }
              }
            },
            "/metrics": { "get": { "summary": "Prometheus", "responses": { "200": { "description": "text" } } } }
          }
        }
        """#
}
