"""Guard of the server below the pages: what is refused without a sign-in, from other hosts, or by size."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from dashboard import access, guard

SECRET = "a secret of the test"
COOKIE = "_streamlit_user"


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """Options of the server, changed by a test through the returned mapping; no sign-in."""
    options = {"server.allowedHosts": [], "server.address": "127.0.0.1", "server.maxUploadSize": 1}
    for user in ("dashboard.guard", "streamlit.web.server.starlette.starlette_websocket"):
        monkeypatch.setattr(f"{user}.config", SimpleNamespace(get_option=options.get))
    monkeypatch.setattr(access, "_secrets", dict)
    return options


@pytest.fixture
def sign_in(monkeypatch):
    """Turn sign-in on; the secrets of ``[access]`` as an argument."""

    def turn_on(**allowed):
        secrets = {"auth": {"cookie_secret": SECRET}} | ({"access": allowed} if allowed else {})
        monkeypatch.setattr(access, "_secrets", lambda: secrets)
        monkeypatch.setattr(
            "streamlit.web.server.starlette.starlette_websocket.get_cookie_secret", lambda: SECRET, raising=True
        )

    return turn_on


def cookie(email="a@x.org", *, secret=SECRET, **facts) -> dict[str, str]:
    payload = json.dumps({"is_logged_in": True, "email": email, **facts})
    return {"cookie": f"{COOKIE}={create_signed_value(secret, COOKIE, payload).decode()}"}


def run(work) -> None:
    """Run a coroutine in a thread: playwright's fixtures keep a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


class Server:
    """The guard before an application that answers 200 and echoes a websocket's messages."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.guard = guard.Guard(self._app)

    async def _app(self, scope, receive, send) -> None:
        self.passed.append(scope["path"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"inside"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"]})

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
        sent: list[dict] = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        run(self.guard(scope("http", path, headers, method=method), receive, send))
        answered = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:]).decode(), answered

    def talk(self, *messages: bytes, during=None, **headers: str) -> list[dict]:
        """Open a websocket, send the messages, and close; what came back."""
        sent: list[dict] = []

        async def converse():
            queue: asyncio.Queue = asyncio.Queue()
            queue.put_nowait({"type": "websocket.connect"})
            for data in messages:
                queue.put_nowait({"type": "websocket.receive", "bytes": data})

            async def send(message):
                sent.append(message)

            talk = asyncio.create_task(self.guard(scope("websocket", "/_stcore/stream", headers), queue.get, send))
            await asyncio.sleep(0.05)
            if during is not None:
                await asyncio.to_thread(during)
                await asyncio.sleep(0.05)
            queue.put_nowait({"type": "websocket.disconnect", "code": 1000})
            await talk

        run(converse())
        return sent


def scope(kind: str, path: str, headers: dict[str, str], **more) -> dict:
    named = {"host": "localhost:8501", **{k.replace("_", "-"): v for k, v in headers.items()}}
    encoded = [(k.encode(), v.encode()) for k, v in named.items()]
    return {"type": kind, "path": path, "headers": encoded, "query_string": b"", **more}


GUARDED = ["/", "/performance", "/media/0.pdf", "/_stcore/metrics", "/_stcore/host-config", "/component/x"]


@pytest.mark.parametrize("path", GUARDED)
def test_without_a_sign_in_nothing_but_the_sign_in_page_is_answered(sign_in, path):
    sign_in()
    server = Server()
    for headers in ({}, cookie(secret="of somebody else"), {"cookie": f"{COOKIE}=x"}, cookie(is_logged_in=False)):
        status, text, _ = server.ask(path, **headers)
        assert status == 401
        assert "Please sign in" in text
        assert "inside" not in text
    assert server.talk() == [{"type": "websocket.close", "code": 1008}]
    assert server.ask("/_stcore/upload_file/s/f", "PUT", content_length="5")[0] == 401
    assert server.passed == []
    assert server.ask(path, **cookie())[:2] == (200, "inside")


@pytest.mark.parametrize("path", ["/_stcore/health", "/auth/login", "/auth/logout", "/oauth2callback"])
def test_the_sign_in_itself_is_open(sign_in, path):
    sign_in()
    assert Server().ask(path)[0] == 200


def test_without_sign_in_in_the_secrets_everything_is_open():
    server = Server()
    assert all(server.ask(path)[0] == 200 for path in GUARDED)


@pytest.mark.parametrize(
    ("email", "facts", "inside"),
    [
        ("A@x.org", {}, True),
        ("b@x.org", {}, False),
        ("b@y.org", {}, True),
        ("b@evil-y.org", {}, False),
        ("b@y.org.evil", {}, False),
        ("b@y.org", {"email_verified": False}, False),
        ("", {}, False),
    ],
)
def test_accounts_and_domains_of_the_secrets(sign_in, email, facts, inside):
    sign_in(accounts=["a@x.org"], domains=["y.org"])
    server = Server()
    status, text, _ = server.ask("/", **cookie(email, **facts))
    assert (status == 200) == inside
    assert ("no access" in text) != inside
    assert (server.talk(**cookie(email, **facts))[0]["type"] == "websocket.accept") == inside


def test_signing_out_ends_every_tab_and_the_cookie(sign_in):
    sign_in()
    server = Server()
    one, other = cookie("a@x.org"), cookie("b@x.org")
    sent = server.talk(during=lambda: server.ask("/auth/logout", **one), **one)
    assert sent[-1] == {"type": "websocket.close", "code": 1008}
    assert server.ask("/media/0.pdf", **one)[0] == 401
    assert server.ask("/media/0.pdf", **other)[0] == 200
    assert server.talk(during=lambda: server.ask("/auth/logout", **one), **other)[-1]["type"] != "websocket.close"


def message(**fields) -> bytes:
    return BackMsg(**fields).SerializeToString()


def test_messages_that_would_harm_others_are_dropped():
    kept = message(stop_script=True)
    refused = [message(**{name: True}) for name in ("clear_cache", "debug_shutdown_runtime", "load_git_info")]
    sent = Server().talk(refused[0], kept, *refused[1:], b"not a message")
    assert [m["bytes"] for m in sent if m["type"] == "websocket.send"] == [kept, b"not a message"]


def test_the_path_of_the_server_does_not_leave_by_websocket():
    begin = ForwardMsg()
    begin.new_session.main_script_path = "/home/somebody/her2core/dashboard/main.py"
    begin.new_session.name = "main"
    sent = Server().talk(begin.SerializeToString())
    told = ForwardMsg.FromString(sent[-1]["bytes"])
    assert told.new_session.main_script_path == "main.py"
    assert told.new_session.name == "main"
    other = ForwardMsg(script_finished=1).SerializeToString()
    assert guard.without_server_path(other) == other
    assert guard.without_server_path(b"not a message") == b"not a message"


@pytest.mark.parametrize(
    ("host", "address", "allowed", "answered"),
    [
        ("localhost:8501", "127.0.0.1", [], True),
        ("[::1]:8501", "127.0.0.1", [], True),
        ("evil.example", "127.0.0.1", [], False),
        ("evil.example:8501", "localhost", [], False),
        ("lab.example", "0.0.0.0", [], True),
        ("lab.example", "0.0.0.0", ["lab.example"], True),
        ("evil.example", "0.0.0.0", ["lab.example"], False),
    ],
)
def test_a_server_answers_to_its_own_names(settings, host, address, allowed, answered):
    settings.update({"server.address": address, "server.allowedHosts": allowed})
    server = Server()
    assert (server.ask("/", host=host)[0] == 200) == answered
    assert (server.talk(host=host)[0]["type"] == "websocket.accept") == answered


def test_uploads_of_a_session_and_of_all_have_a_limit(monkeypatch):
    held: dict[str, dict] = {}
    monkeypatch.setattr(guard, "_uploads", lambda: held)
    server, mib = Server(), 1024**2

    watched: list[None] = []
    monkeypatch.setattr(guard, "start_watching", lambda: watched.append(None))

    def upload(session: str, size: int) -> int:
        return server.ask(f"/_stcore/upload_file/{session}/f", "PUT", content_length=str(size))[0]

    assert upload("a", mib) == 200
    held["a"] = {"f": SimpleNamespace(data=bytes(4 * mib))}
    assert upload("a", 1) == 413
    assert upload("b", mib) == 200
    for other in "cdef":
        held[other] = {"f": SimpleNamespace(data=bytes(4 * mib))}
    assert upload("b", mib) == 503
    assert server.ask("/_stcore/upload_file/b/f", "PUT")[0] == 411
    assert len(watched) == 2, "what was let in is looked after, though no script ever runs"


def test_a_visitor_who_left_is_no_text_frame():
    """Streamlit's loop: one task sends, another reads bytes. The visitor is gone before the server has read so."""
    ended: list[str] = []

    async def streamlit(scope, receive, send):
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await asyncio.create_task(_sends(socket))
        try:
            await socket.receive_bytes()
        except WebSocketDisconnect:
            ended.append("left")
        except RuntimeError as failed:
            ended.append(str(failed))

    async def _sends(socket):
        with suppress(WebSocketDisconnect):
            await socket.send_bytes(b"a figure")

    async def converse():
        queue: asyncio.Queue = asyncio.Queue()
        for kind in ("connect", "disconnect"):
            queue.put_nowait({"type": f"websocket.{kind}", "code": 1001})

        async def send(message):
            if message["type"] == "websocket.send":
                raise ConnectionResetError

        await guard.Guard(streamlit)(scope("websocket", "/_stcore/stream", {}), queue.get, send)

    run(converse())
    assert ended == ["left"]


def test_answers_carry_security_headers(sign_in):
    sign_in()
    for headers in ({}, cookie()):
        answered = Server().ask("/", **headers)[2]
        assert answered["x-content-type-options"] == "nosniff"
        assert answered["content-security-policy"] == "frame-ancestors 'self'"
