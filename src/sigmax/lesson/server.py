"""The server: static files, one description, and one endpoint that calls the functions of the chapters."""

import contextlib
import errno
import socket
import threading
import webbrowser
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import wire
from .contents import HERE, all_functions, describe

__all__ = ["application", "serve"]

HOST = "127.0.0.1"
LARGEST_REQUEST = 64 * 1024

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class _Headers:
    """Adds the headers above to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _answer(value: Any, status: int = 200) -> Response:
    return Response(wire.dumps(value), status, media_type="application/json")


def _refusal(status: int, message: str) -> Response:
    return _answer({"error": message}, status)


async def _body(request: Request) -> bytes | None:
    """Return the body, None where it is too large; what comes after the limit is not kept."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_REQUEST:
            return None
    return body


async def _call(request: Request) -> Response:
    """Call one function of the allow-list: ``{"function": name, "arguments": {...}}``."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _refusal(415, "the content type must be application/json")
    body = await _body(request)
    if body is None:
        return _refusal(413, f"a request must have at most {LARGEST_REQUEST} bytes")
    try:
        asked = wire.loads(body)
        if not isinstance(asked, dict) or asked.keys() != {"function", "arguments"}:
            raise ValueError('a request is an object with "function" and "arguments"')
        name = asked["function"]
        if not isinstance(name, str) or name not in all_functions():
            return _refusal(404, f"no function is called {str(name)[:60]!r}")
        return _answer(await run_in_threadpool(all_functions()[name], asked["arguments"]))
    except (ValueError, TypeError) as error:
        return _refusal(400, str(error))


def application(lang: str) -> Starlette:
    """Return the ASGI application."""
    described = wire.dumps(describe(lang) | {"live": True})

    async def lesson(_: Request) -> Response:
        return Response(described, media_type="application/json")

    return Starlette(
        routes=[
            Route("/api", _call, methods=["POST"]),
            Route("/lesson.json", lesson),
            Mount("/", StaticFiles(directory=HERE / "static", html=True)),
        ],
        middleware=[
            Middleware(_Headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
        ],
    )


def _bound(port: int) -> socket.socket:
    # With its protocol named, asyncio sends what is small at once; else each answer waits 40 ms for an acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(error.errno, f"port {port} is in use; port 0 takes a free one") from None
        raise
    return listener


def serve(lang: str, port: int, browser: bool) -> None:
    """Serve until interrupted."""
    with _bound(port) as listener:
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        server = uvicorn.Server(uvicorn.Config(application(lang), log_level="warning"))
        print(f"sigmax lesson: {address} (Ctrl-C stops it)", flush=True)
        if browser:
            # The socket takes connections only once the server listens; a second is enough for that.
            threading.Timer(1.0, webbrowser.open, [address]).start()
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
