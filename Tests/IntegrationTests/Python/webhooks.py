"""Receives webhooks as Standard Webhooks' own library does, and prints what came.

usage: webhooks.py PORT SECRET OUTPUT COUNT: refuses the first with 503, then takes COUNT
"""

import http.server
import json
import sys

from standardwebhooks.webhooks import Webhook

port, secret, output, count = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
seen = []


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Webhook(secret).verify(body, dict(self.headers.items()))
        seen.append((self.headers["webhook-id"], json.loads(body)))
        self.send_response(503 if len(seen) == 1 else 204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = http.server.HTTPServer(("127.0.0.1", port), Receiver)
server.timeout = 120
while len(seen) < count + 1:
    before = len(seen)
    server.handle_request()
    if len(seen) == before:
        sys.exit("nothing came for 120 s")
# What was refused came again, with the same id.
assert seen[0][0] == seen[1][0], seen
assert len({id for id, _ in seen}) == count, seen
with open(output, "w") as file:
    json.dump([message for _, message in seen[1:]], file)
