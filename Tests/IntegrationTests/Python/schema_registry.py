"""The REST contract of Confluent's Schema Registry, as far as its serialisers and readers use it.

usage: schema_registry.py PORT

Answers POST /subjects/{subject}/versions, POST /subjects/{subject}, GET /schemas/ids/{id} and GET /schemas/types, with the user
"reader" and the password "word". PUT /behaviour with {"mode": "well" | "slow" | "failing"} changes how GET /schemas/ids answers;
GET /requests gives what was asked of it.
"""

import base64
import json
import re
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSWORD = "Basic " + base64.b64encode(b"reader:word").decode()
lock = threading.Lock()
schemas = []  # by id, from 1
subjects = {}
requests = []
mode = "well"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def allowed(self):
        if self.headers.get("Authorization") == PASSWORD:
            return True
        self.answer(401, {"error_code": 401, "message": "Unauthorized"})
        return False

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def do_PUT(self):
        global mode
        mode = self.body()["mode"]
        self.answer(200, {})

    def do_POST(self):
        content = self.body()
        if not self.allowed():
            return
        match = re.fullmatch(r"/subjects/([^/?]+)(/versions)?", self.path.split("?")[0])
        if not match:
            return self.answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})
        subject = urllib.parse.unquote(match[1])
        schema = {"schema": content["schema"], "schemaType": content.get("schemaType", "AVRO")}
        with lock:
            if schema not in schemas:
                if not match[2]:
                    return self.answer(404, {"error_code": 40403, "message": "Schema not found"})
                schemas.append(schema)
            number = schemas.index(schema) + 1
            versions = subjects.setdefault(subject, [])
            if number not in versions:
                versions.append(number)
            version = versions.index(number) + 1
        self.answer(200, {"id": number, "subject": subject, "version": version, **schema})

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/requests":
            return self.answer(200, requests)
        with lock:
            requests.append(path)
        if not self.allowed():
            return
        if path == "/schemas/types":
            return self.answer(200, ["AVRO", "JSON"])
        match = re.fullmatch(r"/schemas/ids/(\d+)", path)
        if not match:
            return self.answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})
        if mode == "slow":
            time.sleep(30)
        if mode == "failing":
            return self.answer(500, {"error_code": 50001, "message": "Error in the backend data store"})
        number = int(match[1])
        if not 1 <= number <= len(schemas):
            return self.answer(404, {"error_code": 40403, "message": f"Schema {number} not found"})
        schema = schemas[number - 1]
        self.answer(200, schema if schema["schemaType"] != "AVRO" else {"schema": schema["schema"]})


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass  # whoever was kept waiting has gone


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
