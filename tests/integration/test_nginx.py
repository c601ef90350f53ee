"""nginx before a server, with the configuration in `examples/deploy`: a real one, on ports of its own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import httpx
import pytest
from heard import TIMEOUT_S, Heard
from served import IMPATIENT, Carrier, Encoding

import programs
from certificates import Certificates
from event_source import EventSource
from ringcast import Client
from ringcast.client import ClientConfig

CONFIGURATION: Final = programs.PROJECT / "examples" / "deploy" / "nginx.conf"

_PLACES: Final = (Path(sys.prefix) / "nginx" / "usr" / "sbin", os.environ["PATH"], "/usr/sbin")
"""Where `make nginx` puts one, and where others do."""

_MAIN: Final = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path bodies; proxy_temp_path proxied;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    include {site};
}}
"""
"""What a distribution's own nginx.conf says in its place: where things are."""


class Nginx:
    """nginx with the site that the documentation has, before the server at `upstream`."""

    def __init__(self, directory: Path, certificates: Certificates, upstream: str) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"https://127.0.0.1:{self._port}"
        site = CONFIGURATION.read_text()
        for documented, here in (
            ("server 127.0.0.1:8080;", f"server {upstream};"),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self._port} ssl;"),
            ("/etc/ssl/realtime.example.com.pem", str(certificates.certificate)),
            ("/etc/ssl/realtime.example.com.key", str(certificates.key)),
        ):
            assert site.count(documented) == 1, documented
            site = site.replace(documented, here)
        (directory / "site.conf").write_text(site)
        (directory / "nginx.conf").write_text(_MAIN.format(site=directory / "site.conf"))

    def start(self) -> None:
        """Start, and return once it accepts connections. Fails with what it said if it does not."""
        program = shutil.which("nginx", path=os.pathsep.join(map(str, _PLACES)))
        assert program is not None, "there is no nginx: run `make nginx`"
        log = self._directory / "log"
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                [program, "-e", "stderr", "-p", str(self._directory), "-c", "nginx.conf"], stderr=said
            )
        while True:
            assert self._process.poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S).close()
                return
            except ConnectionRefusedError:
                continue

    def kill(self) -> None:
        """End it with SIGKILL: every socket through it is lost at once. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(TIMEOUT_S)
            self._process = None


@pytest.fixture
def config(certificates: Certificates) -> ClientConfig:
    return replace(IMPATIENT, ssl_context=certificates.client_context())


@pytest.fixture
def nginx(tmp_path: Path, certificates: Certificates, server: programs.Server) -> Iterator[Nginx]:
    """Give nginx before the server that the other tests use."""
    nginx = Nginx(tmp_path, certificates, urlsplit(server.url).netloc)
    nginx.start()
    yield nginx
    nginx.kill()


async def test_connections_and_calls_go_through(
    nginx: Nginx, config: ClientConfig, carrier: Carrier, encoding: Encoding, key: list[str]
) -> None:
    async with Client(nginx.url, encoding=encoding, transport=carrier, config=config) as client:
        connection = client.chat_room.get_or_create(key).connect()
        heard = Heard(connection, "said")
        await connection.ready()
        await connection.say("over the connection")
        await client.chat_room.get(key).say("without one")
        assert await heard.until("said", 2) == ["over the connection", "without one"]


async def test_a_browser_gets_each_event_at_once_and_resumes_when_nginx_has_been_dead(
    nginx: Nginx, certificates: Certificates, server: programs.Server, key: list[str]
) -> None:
    query = "&".join((*(f"key={quote(part)}" for part in key), "subscribe=said", "session_name=first"))
    source = EventSource(nginx.url, f"/actors/chatRoom/events?{query}", tls=certificates.client_context())
    async with asyncio.timeout(TIMEOUT_S), Client(server.url) as direct:
        [_, answer] = (await source.next("connected")).json
        room = direct.chat_room.get(key)
        for number in range(5):
            # Nothing more is said before this has arrived: whoever collects would wait for ever here.
            await room.say(number)
            message = await source.next("event")
            assert (message.json[4], message.last_event_id) == ([number], f"{answer['epoch']}:{number + 1}")
        nginx.kill()
        await room.say(5)
        nginx.start()
        [_, again] = (await source.next("connected")).json
        assert (again["connection"], again["replayed"]) == (answer["connection"], 1) and "gap" not in again
        assert (await source.next("event")).json[4] == [5]
        source.lose()  # to close TLS in order would take longer than this test
        await source.close()


async def test_what_was_missed_while_nginx_was_dead_is_replayed(
    nginx: Nginx,
    server: programs.Server,
    config: ClientConfig,
    carrier: Carrier,
    encoding: Encoding,
    key: list[str],
) -> None:
    async with (
        Client(nginx.url, encoding=encoding, transport=carrier, config=config) as client,
        Client(server.url) as direct,
    ):
        connection = client.chat_room.get_or_create(key).connect()
        heard = Heard(connection, "said", "disconnected", "reconnected", "gap")
        await connection.ready()
        room = direct.chat_room.get(key)
        await room.say(0)
        await heard.until("said", 1)
        nginx.kill()
        await heard.until("disconnected")
        for number in range(1, 100):
            await room.say(number)
        nginx.start()
        await heard.until("reconnected")
        assert await heard.until("said", 100) == list(range(100))
        assert heard.of("gap") == []


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def before(serve: Serve, directory: Path, certificates: Certificates) -> AsyncIterator[Nginx]:
    """Give nginx before a server of a test's own."""
    upstream = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with upstream:
        host, port = upstream.sockets[0].getsockname()
        nginx = Nginx(directory, certificates, f"{host}:{port}")
        await asyncio.to_thread(nginx.start)
        try:
            yield nginx
        finally:
            nginx.kill()


async def tell_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer whatever is asked for, with the head of the request."""
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(head), head))
    await writer.drain()
    writer.close()


async def test_metrics_are_not_for_the_world_wherever_the_server_has_them(
    tmp_path: Path, certificates: Certificates
) -> None:
    # Before one that has an answer at every path: what is not found is what nginx does not pass on.
    async with (
        before(tell_head, tmp_path, certificates) as nginx,
        httpx.AsyncClient(verify=certificates.client_context(), base_url=nginx.url) as http,
    ):
        for hidden in ("/metrics", "/realtime/metrics", "/a/b/metrics?x=1", "/realtime/%6Detrics"):
            for method in ("GET", "HEAD"):
                assert (await http.request(method, hidden)).status_code == 404, (method, hidden)
        for passed in ("/ready", "/realtime/ready", "/metrics/ready"):
            assert (await http.get(passed)).status_code == 200, passed
        assert (await http.post("/actors/room/actions/metrics")).status_code == 200  # an action of that name


async def test_the_server_is_told_who_its_client_is_and_not_what_the_client_says(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with (
        before(tell_head, tmp_path, certificates) as nginx,
        httpx.AsyncClient(verify=certificates.client_context()) as http,
    ):
        forged = {
            "X-Forwarded-For": "203.0.113.7",
            "X-Forwarded-Proto": "http",
            "X-Forwarded-Host": "203.0.113.7",
        }
        head = (await http.get(f"{nginx.url}/health", headers=forged)).text
    found = [line.partition(": ")[::2] for line in head.splitlines() if ": " in line]
    headers = [(name.lower(), value) for name, value in found]
    assert [value for name, value in headers if name == "x-forwarded-for"] == ["127.0.0.1"]
    assert [value for name, value in headers if name == "x-forwarded-proto"] == ["https"]
    assert [value for name, value in headers if name == "host"] == [urlsplit(nginx.url).netloc]
    assert [value for name, value in headers if name == "x-forwarded-host"] == [urlsplit(nginx.url).netloc]
    assert "203.0.113.7" not in head


async def test_each_part_of_a_stream_goes_out_before_the_next_is_there(
    tmp_path: Path, certificates: Certificates
) -> None:
    arrived = [asyncio.Event() for _ in range(5)]

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        for number, event in enumerate(arrived):
            writer.write(b"data: %d\n\n" % number)
            # Whoever collects before he passes on would wait for ever here.
            await event.wait()
        writer.close()

    parts = []
    async with (
        asyncio.timeout(TIMEOUT_S),
        before(stream, tmp_path, certificates) as nginx,
        httpx.AsyncClient(verify=certificates.client_context()) as http,
        http.stream("GET", f"{nginx.url}/events", headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        assert "content-encoding" not in answer.headers
        async for line in answer.aiter_lines():
            if line:
                parts.append(int(re.sub("data: ", "", line)))
                arrived[parts[-1]].set()
    assert parts == list(range(5))
