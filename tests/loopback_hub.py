"""A Hub on the loopback that knows a few repositories and who may read them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMITS = {"datasets/org/open": "a" * 40, "datasets/org/gated": "b" * 40, "models/org/lm": "c" * 40}


class Hub(ThreadingHTTPServer):
    """Remembers the paths that were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        repository = "/".join(self.path.split("/")[2:5])
        if repository not in COMMITS:
            self._answer(404, "RepoNotFound", {"error": "no such repository"})
        elif not self.path.endswith("/auth-check"):
            self._answer(200, "", {"id": repository, "sha": COMMITS[repository]})
        elif "gated" in self.path:
            self._answer(403, "GatedRepo", {"error": "accept the terms"})
        else:
            self._answer(200, "", {})

    def _answer(self, status: int, code: str, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def loopback_hub() -> Iterator[tuple[str, list[str]]]:
    """Address of the Hub and the paths that it was asked for."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{hub.server_port}", hub.asked
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
