"""Takes spans over OTLP/HTTP, read by OpenTelemetry's own protobuf classes.

usage: otlp_collector.py PORT OUTPUT: writes a line of JSON for each span, until it is ended
"""

import base64
import http.server
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

port, output = int(sys.argv[1]), sys.argv[2]


def with_bytes(value):
    """OTLP's JSON has ids in hexadecimal, protobuf's has bytes in base64: the one difference between them."""
    if isinstance(value, list):
        return [with_bytes(item) for item in value]
    if isinstance(value, dict):
        return {
            name: base64.b64encode(bytes.fromhex(item)).decode() if name in ("traceId", "spanId") else with_bytes(item)
            for name, item in value.items()
        }
    return value


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = json_format.ParseDict(with_bytes(body), ExportTraceServiceRequest())  # refuses what it does not know
        with open(output, "a") as file:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        assert len(span.trace_id) == 16 and len(span.span_id) == 8
                        assert span.start_time_unix_nano <= span.end_time_unix_nano
                        values = {a.key: a.value for a in span.attributes}
                        print(json.dumps({
                            "service": resource.resource.attributes[0].value.string_value, "name": span.name,
                            "messages": values["messaging.batch.message_count"].int_value,
                            "seconds": values["ml_service.stage.score.seconds"].double_value,
                            "links": [link.trace_id.hex() for link in span.links],
                        }), file=file)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass


http.server.HTTPServer(("127.0.0.1", port), Collector).serve_forever()
