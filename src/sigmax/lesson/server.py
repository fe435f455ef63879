"""The lesson on this machine: its files from memory, over the standard library's server."""

import contextlib
import errno
import sys
import threading
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from .site import POLICY, files

__all__ = ["Server", "serve"]

HOST = "127.0.0.1"

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "toml": "text/plain; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "wasm": "application/wasm",
}

HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10.0  # seconds that a client may keep a connection and say nothing
    server: "Server"

    def do_GET(self) -> None:
        if self.headers.get("Host", "").rpartition(":")[0] not in (HOST, "localhost"):
            return self.answer(HTTPStatus.BAD_REQUEST, "txt", b"this server is for this machine")
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        if name == "" or name.endswith("/"):
            name += "index.html"
        content = self.server.files.get(name)
        if content is None:
            return self.answer(HTTPStatus.NOT_FOUND, "txt", b"not found")
        return self.answer(HTTPStatus.OK, name.rpartition(".")[2], content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", TYPES.get(kind, "text/plain; charset=utf-8"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        return "sigmax"

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal shows the address alone."""


class Server(ThreadingHTTPServer):
    """Hands out the files of the lesson, and nothing else."""

    daemon_threads = True  # Ctrl-C does not wait for a client
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, lang: str, port: int) -> None:
        self.files = files(lang)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise OSError(f"port {port} is in use; port 0 takes a free one") from None
            raise

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Forget a client that went away."""


def serve(lang: str, port: int, browser: bool) -> None:
    """Serve until interrupted."""
    with Server(lang, port) as server:
        print(f"sigmax lesson: {server.address} (Ctrl-C stops it)", flush=True)
        if browser:
            # The socket takes connections already; the first is answered once the server runs.
            threading.Thread(target=webbrowser.open, args=[server.address], daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
