"""Guard of the server below the pages: hosts, sign-in, messages and uploads.

Streamlit's own sign-in is a command of the script: without it a visitor sees no page, but uploads, media files, metrics
and messages of the websocket are served all the same. This middleware stands before every route (ASGI), so that with
sign-in on nothing but the health check and the sign-in itself answers a visitor who is not signed in.
docs/security.md states what is promised and what is not.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import json
from collections import defaultdict
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import exists, get_instance
from streamlit.user_info import generate_login_redirect_url
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME
from streamlit.web.server.starlette.starlette_websocket import _get_signed_cookie_with_chunks, is_host_allowed

from dashboard.access import LOOPBACK, NO_ACCESS, SIGN_IN, has_access, sign_in_is_on
from dashboard.ending import start_watching
from her2core.notice import NOTICE

#: Answered without sign-in. ``auth/start`` is this module's own.
OPEN_PATHS = ("/_stcore/health", "/auth/start", "/auth/login", "/auth/logout", "/oauth2callback")
#: Messages that no page needs: one visitor would empty the caches of all, or end the server.
REFUSED_MESSAGES = frozenset(
    {"clear_cache", "set_run_on_save", "load_git_info", "debug_disconnect_websocket", "debug_shutdown_runtime"}
)
#: What one session, and all sessions together, may have uploaded at a time: in units of server.maxUploadSize.
SESSION_UPLOADS, ALL_UPLOADS = 4, 20
UPLOAD_PATH = "/_stcore/upload_file/"
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'self'"),
)
#: A new session's message is small; larger ones hold figures and images and are not opened.
_SMALL = 1 << 16
_POLICY_VIOLATION = 1008


class Guard:
    """ASGI middleware before every route of the dashboard.

    Parameters
    ----------
    app : ASGI application
        Streamlit's.

    Notes
    -----
    Signing out ends all connections that were opened with the same sign-in, in every tab, and a copy of its cookie is
    refused from then on. Both are remembered in the memory of this process.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._signed_out: set[str] = set()
        self._connections: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass on one request or connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        path = _path(scope)
        sign_in = self._sign_in(connection)
        refused = self._refusal(connection, path, sign_in)
        if refused is not None:
            await _refuse(refused, scope, receive, send)
            return
        if path == "/auth/logout" and sign_in:
            self._sign_out(sign_in)
        if scope["type"] == "websocket":
            await self._watch(sign_in, scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))
            if path.startswith(UPLOAD_PATH):
                start_watching()

    def _refusal(self, connection: HTTPConnection, path: str, sign_in: str) -> Response | None:
        """The answer to a request that is not passed on."""
        if not host_is_allowed(connection.headers.get("host")):
            return PlainTextResponse("This server does not answer to that host name.", 400)
        if sign_in_is_on() and path not in OPEN_PATHS:
            account = _account(connection) if sign_in else None
            if account is None:
                return _page(SIGN_IN, "auth/start", "Sign in", 401)
            if not has_access(account):
                return _page(NO_ACCESS, "auth/logout", "Sign out", 403)
        if path == "/auth/start":
            return RedirectResponse(generate_login_redirect_url("default"), 302)
        if path.startswith(UPLOAD_PATH) and connection.scope.get("method") == "PUT":
            return _upload_refusal(path, connection.headers.get("content-length"))
        return None

    def _sign_in(self, connection: HTTPConnection) -> str:
        """Digest of the visitor's sign-in cookie; empty where there is none or it was signed out."""
        cookie = connection.cookies.get(USER_COOKIE_NAME)
        if not cookie or not sign_in_is_on():
            return ""
        digest = hashlib.sha256(cookie.encode()).hexdigest()
        return "" if digest in self._signed_out else digest

    def _sign_out(self, sign_in: str) -> None:
        self._signed_out.add(sign_in)
        for ended in self._connections.pop(sign_in, ()):
            ended.set()

    async def _watch(self, sign_in: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a websocket on: without refused messages and server paths, and until the visitor signs out."""
        ended = asyncio.Event()
        if sign_in:
            self._connections[sign_in].add(ended)

        async def receive_allowed() -> Message:
            while True:
                message = await _until(ended, receive)
                if message is None:
                    await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                    return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION}
                if message["type"] != "websocket.receive" or not _is_refused(message.get("bytes")):
                    return message

        async def send_without_paths(message: Message) -> None:
            data = message.get("bytes")
            if message["type"] == "websocket.send" and data and len(data) < _SMALL:
                message = {**message, "bytes": without_server_path(data)}
            if not ended.is_set():
                # A visitor who has left (OSError): Streamlit learns it from the next message. Of a send that fails
                # Starlette makes a state in which Streamlit 1.67 takes the end for a text frame and logs a traceback.
                with suppress(OSError):
                    await send(message)

        try:
            await self._app(scope, receive_allowed, send_without_paths)
        finally:
            if sign_in in self._connections:
                self._connections[sign_in].discard(ended)


def host_is_allowed(host: str | None) -> bool:
    """Whether a request's host is one that this server answers to.

    With ``server.allowedHosts`` these; without it the names of this machine alone where the server listens to this
    machine alone, which stops DNS rebinding; otherwise any.

    Parameters
    ----------
    host : str or None
        As in the header.

    Returns
    -------
    bool
    """
    if config.get_option("server.allowedHosts"):
        return is_host_allowed(host)
    if config.get_option("server.address") not in LOOPBACK:
        return True
    return urlsplit(f"//{host}").hostname in LOOPBACK


def without_server_path(data: bytes) -> bytes:
    """Shorten the path of the script in the message that begins a session to the file's name.

    Parameters
    ----------
    data : bytes
        A serialised ``ForwardMsg``.

    Returns
    -------
    bytes
    """
    message = ForwardMsg()
    try:
        message.ParseFromString(data)
    except Exception:  # protobuf's, whose package is Streamlit's own affair
        return data
    if message.WhichOneof("type") != "new_session":
        return data
    message.new_session.main_script_path = message.new_session.main_script_path.replace("\\", "/").rsplit("/", 1)[-1]
    return message.SerializeToString()


def _is_refused(data: bytes | None) -> bool:
    message = BackMsg()
    try:
        message.ParseFromString(data or b"")
    except Exception:  # protobuf's
        return False  # Streamlit closes the connection for it
    return message.WhichOneof("type") in REFUSED_MESSAGES


async def _until(ended: asyncio.Event, receive: Receive) -> Message | None:
    """The next message, or None when the visitor signs out first."""
    waiting = [asyncio.ensure_future(receive()), asyncio.ensure_future(ended.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return None if ended.is_set() else waiting[0].result()  # type: ignore[return-value]  # the first is a message
    finally:
        for task in waiting:
            task.cancel()


def _account(connection: HTTPConnection) -> MutableMapping[str, Any] | None:
    """What the sign-in cookie says of its account; None where it is not the server's own."""
    try:
        found = json.loads(_get_signed_cookie_with_chunks(dict(connection.cookies), USER_COOKIE_NAME) or b"null")
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("is_logged_in") is True else None


def _upload_refusal(path: str, length: str | None) -> Response | None:
    if length is None or not length.isdigit():
        return PlainTextResponse("An upload has to state its length.", 411)
    unit = int(config.get_option("server.maxUploadSize")) * 1024**2
    held = {s: sum(len(f.data) for f in files.values()) for s, files in _uploads().items()}
    session = path.removeprefix(UPLOAD_PATH).split("/")[0]
    if held.get(session, 0) + int(length) > SESSION_UPLOADS * unit:
        return PlainTextResponse("This session has uploaded too much. Remove files first.", 413)
    if sum(held.values()) + int(length) > ALL_UPLOADS * unit:
        return PlainTextResponse("The server holds too many uploads at the moment. Try again later.", 503)
    return None


def _uploads() -> dict[str, dict[str, Any]]:
    return dict(getattr(get_instance().uploaded_file_mgr, "file_storage", {})) if exists() else {}


def base_path() -> str:
    """``server.baseUrlPath`` with a slash before it; empty where there is none."""
    base = str(config.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}" if base else ""


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(base_path())


def _page(text: str, action: str, button: str, status: int) -> Response:
    shown = _SIGN_IN.format(text=text, action=f"{base_path()}/{action}", button=button, notice=html.escape(NOTICE))
    return HTMLResponse(shown, status)


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
    else:
        await response(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Callable[[Message], Any]:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message.get("headers", [])}
            message = {**message, "headers": [*message.get("headers", []), *(h for h in HEADERS if h[0] not in own)]}
        await send(message)

    return sender


_SIGN_IN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>her2core</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}
main {{ max-width: 34rem; margin: 18vh auto 0; padding: 0 1rem; }}
button {{ font: inherit; padding: .5rem 1.2rem; border: 0; border-radius: .5rem; background: #6f3a86; color: #fff; }}
small {{ display: block; margin-top: 2rem; }}</style>
<main><h1>her2core</h1><p>{text}</p><form action="{action}"><button>{button}</button></form>
<small>{notice}</small></main>
</html>"""
