"""The one thing that `sst dev` asks of AWS besides the channel: where its bootstrap is.

Standard library only: ``python3 aws_stand_in.py 8444``, and ``AWS_ENDPOINT_URL_SSM`` names it.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# A version above any that SST knows: nothing is left to be set up. No bucket of these is ever used.
BOOTSTRAP = {"version": 1000, "asset": "sst-asset-none", "state": "sst-state-none"}


class ParameterStore(BaseHTTPRequestHandler):
    """Answers ``GetParameter`` (AWS JSON 1.1) and refuses everything else by name."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        action = self.headers.get("X-Amz-Target", "")
        print("asked for", action, asked.get("Name", ""), flush=True)
        if action == "AmazonSSM.GetParameter" and asked.get("Name") == "/sst/bootstrap":
            parameter = {"Name": asked["Name"], "Type": "String", "Value": json.dumps(BOOTSTRAP)}
            self.answer(200, {"Parameter": parameter})
        else:
            self.answer(400, {"__type": "ParameterNotFound", "message": f"{action} is not here"})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), ParameterStore) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
