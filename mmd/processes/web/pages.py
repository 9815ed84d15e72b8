"""The page's addresses: who asks what, and what he gets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from aiohttp import web

from mmd.processes.sight import Look
from mmd.processes.web import metrics, view
from mmd.processes.web.guard import COOKIE, HEADERS, Guard
from mmd.processes.web.hub import Hub, Listener
from mmd.words.errors import Unavailable

_ASSETS = {
    "page.html": "text/html",
    "login.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "chart.js": "text/javascript",
    "login.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_OPEN = ("/login", "/login.js", "/page.css", "/icon.svg", "/healthz")
"""What who has not shown the token may see."""
_COMMANDS = ("pause", "resume", "restart")
_WRONG_TOKEN_S = 0.5
_COOKIE_DAYS = 30
_BEAT_S = 15.0
_MOST_BYTES = 4096
_MOST_BUFFERED = 64 << 10

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Known(Protocol):
    """What a browser that connects is told at once."""

    history: view.History
    present: view.Json
    ladders: dict[str, view.Json]

    def hello(self) -> view.Json: ...


class Pages:
    """Handlers of all addresses."""

    def __init__(
        self,
        guard: Guard,
        hub: Hub,
        known: Known,
        look: Look,
        command: Callable[[str, str], Mapping[str, Any]],
    ) -> None:
        self._guard, self._hub, self._known = guard, hub, known
        self._look, self._command = look, command

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guarded], client_max_size=_MOST_BYTES)
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/", self._page)
        app.router.add_get("/events", self._events, allow_head=False)
        app.router.add_get("/api/history/{slug}", self._history)
        app.router.add_post("/api/command", self._take_command)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", _healthy)
        app.router.add_get("/login", _login_page)
        app.router.add_post("/login", self._login)
        for name in _ASSETS:
            if not name.endswith(".html"):
                app.router.add_get(f"/{name}", _asset)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        guard = self._guard
        if not guard.knows_host(request.headers.get("Host", "")):
            raise web.HTTPForbidden(text="this page is known by another name")
        if request.method not in ("GET", "HEAD") and not guard.is_own_origin(request.headers):
            raise web.HTTPForbidden(text="only the page itself may ask for this")
        authorization = request.headers.get("Authorization", "")
        if request.path in _OPEN or guard.admits(request.cookies, authorization):
            return await handler(request)
        if request.path == "/":
            raise web.HTTPFound("/login")
        raise web.HTTPUnauthorized(text="the token is missing or wrong")

    async def _page(self, _request: web.Request) -> web.Response:
        return _answer("page.html")

    async def _login(self, request: web.Request) -> web.Response:
        document = await _json(request)
        if not self._guard.is_token(str(document.get("token", ""))):
            await asyncio.sleep(_WRONG_TOKEN_S)
            raise web.HTTPUnauthorized(text="the token is wrong")
        answer = web.json_response({"ok": True})
        answer.set_cookie(
            COOKIE,
            self._guard.cookie(),
            max_age=_COOKIE_DAYS * 86_400,
            httponly=True,
            samesite="Strict",
            secure=_is_tls(request),
        )
        return answer

    async def _history(self, request: web.Request) -> web.Response:
        slug = request.match_info["slug"]
        if slug not in self._slugs():
            raise web.HTTPNotFound(text="there is no such pair")
        return web.json_response(self._known.history.chart(slug))

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = metrics.render(self._look())
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _take_command(self, request: web.Request) -> web.Response:
        document = await _json(request)
        do, name = str(document.get("do")), str(document.get("name"))
        names = [process["name"] for process in self._known.present.get("processes", [])]
        if do not in _COMMANDS or name not in names:
            raise web.HTTPBadRequest(text="there is no such command or process")
        try:
            reply = await asyncio.to_thread(self._command, do, name)
        except Unavailable as error:
            return web.json_response({"ok": False, "text": str(error)})
        return web.json_response({"ok": bool(reply["ok"]), "text": str(reply["text"])})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._hub.is_full:
            raise web.HTTPServiceUnavailable(text="too many browsers watch already")
        slug = request.query.get("pair", "")
        listener = Listener(slug if slug in self._slugs() else "")
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        transport = request.transport
        _bound_buffers(transport)
        self._hub.listeners.add(listener)
        hang_up = asyncio.create_task(_hang_up_when_dropped(listener, transport))
        try:
            await answer.write(view.event("hello", self._known.hello()))
            if listener.pair in self._known.ladders:
                ladder = {"slug": listener.pair, **self._known.ladders[listener.pair]}
                await answer.write(view.event("ladder", ladder))
            await _serve(listener, answer)
        except ConnectionError:
            pass  # the browser has gone
        finally:
            hang_up.cancel()
            self._hub.listeners.discard(listener)
        return answer

    def _slugs(self) -> list[str]:
        return [pair["slug"] for pair in self._known.present.get("pairs", [])]


async def _serve(listener: Listener, answer: web.StreamResponse) -> None:
    """Passes events on. A browser that does not read makes this wait, and nobody else."""
    while True:
        try:
            event = await asyncio.wait_for(listener.queue.get(), _BEAT_S)
        except TimeoutError:
            event = b": \n\n"
        if event is None:
            return
        await answer.write(event)


def _bound_buffers(transport: asyncio.Transport | None) -> None:
    """What the kernel and we keep for a browser that does not read."""
    if transport is None:
        return
    transport.set_write_buffer_limits(_MOST_BUFFERED)
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_BUFFERED)


async def _hang_up_when_dropped(listener: Listener, transport: asyncio.Transport | None) -> None:
    """Ends a connection whose task waits for the browser to read."""
    await listener.dropped.wait()
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:  # the kernel, too, shall forget what it holds
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _add_headers(_request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers.update(HEADERS)


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _login_page(_request: web.Request) -> web.Response:
    return _answer("login.html")


async def _asset(request: web.Request) -> web.Response:
    return _answer(request.path.removeprefix("/"))


def _answer(name: str) -> web.Response:
    return web.Response(text=_text(name), content_type=_ASSETS[name], charset="utf-8")


@cache
def _text(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


async def _json(request: web.Request) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="JSON is wanted")
    try:
        document = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(text="this is not JSON") from None
    if not isinstance(document, dict):
        raise web.HTTPBadRequest(text="an object is wanted")
    return document


def _is_tls(request: web.Request) -> bool:
    return "https" in (request.scheme, request.headers.get("X-Forwarded-Proto"))
