"""What stands between a client and the emulator: it keeps every request, and may lose an answer.

What it must never do: keep a request from the emulator. What it loses was done.
"""

import collections
import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Wire:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self, target):
        self.target = target
        # Operation and input of each request, in the order in which they came.
        self.requests = []
        # What becomes of the next answers of SendMessage: "lose" breaks the connection, "hold" never answers.
        self.faults = collections.deque()
        self.changed = threading.Condition()
        self.ended = threading.Event()
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                wire.handle(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handle(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        forwarded = {name: value for name, value in request.headers.items() if name.lower() not in ("connection", "accept-encoding")}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.target + request.path, body, forwarded), timeout=600) as answer:
                status, headers, told = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, headers, told = error.code, error.headers, error.read()
        operation = request.headers.get("X-Amz-Target", "").rsplit(".", 1)[-1]
        with self.changed:
            fault = self.faults.popleft() if operation == "SendMessage" and self.faults else None
            self.requests.append((operation, json.loads(body)))
            self.changed.notify_all()
        if fault == "hold":
            self.ended.wait()
        if fault:
            request.close_connection = True
            return
        request.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(told)))
        request.end_headers()
        request.wfile.write(told)

    def sent(self):
        """The bodies that were put on the queue."""
        with self.changed:
            return [given["MessageBody"] for operation, given in self.requests if operation == "SendMessage"]

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()
