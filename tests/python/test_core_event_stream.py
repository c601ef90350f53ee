"""Server-sent events that the core writes to a socket: the bytes, and what is refused."""

from __future__ import annotations

import re
import socket

import pytest

from ringcast._core import Core
from ringcast.wire.encoding import Encoding

JSON = Encoding.JSON.index
EVENT = 'id: e:{offset}\ndata: ["event",{stream},{offset},"a",[{offset}]]\n\n'


def read_all(client: socket.socket) -> str:
    client.settimeout(10)
    read = b""
    while chunk := client.recv(65_536):
        read += chunk
    return read.decode()


def test_what_is_written_to_the_socket() -> None:
    core = Core()
    stream = core.open_stream("e")
    client, server = socket.socketpair()
    with client, server:
        sink = core.open_event_stream(server.fileno())
        connection = stream.open(JSON, ["a"])
        assert stream.publish("a", b"[1]", None) == 1
        stream.attach(connection, sink, 1, b'["connected"]')
        assert stream.publish("a", b"[2]", None) == 2
        sink.send(b'["reply",1,null]', flush=False)
        sink.ping()
        sink.send_framed(b": said\n\n")
        sink.send_heartbeat(b"retry: 7\n")
        sink.close(4001, 'a "b"')
        comment = ":\n\n"
        written = read_all(client)
        # A sign of life waits for nothing, so it may come before the event.
        assert written.count(comment) == 1
        assert written.replace(comment, "") == (
            'id: e:1\ndata: ["connected"]\n\n'
            + EVENT.format(offset=2, stream=stream.id)
            + 'data: ["reply",1,null]\n\n: said\n\n: heartbeat\nid: e:2\nretry: 7\n\n'
            + 'event: close\ndata: [4001,"a \\"b\\""]\n\n'
        )
        assert sink.end_reason == "closed"
    core.close()


def test_a_connection_goes_on_from_frames_to_server_sent_events_and_back() -> None:
    core = Core()
    stream = core.open_stream("e")
    connection = stream.open(JSON, ["a"])
    stream.publish("a", b"[1]", None)
    for event_stream in (False, True, False):
        client, server = socket.socketpair()
        with client, server:
            opened = (
                core.open_event_stream(server.fileno())
                if event_stream
                else core.open_sink(server.fileno(), JSON)
            )
            stream.attach(connection, opened, 0, b"[]")
            opened.close(1000)
            event = f'["event",{stream.id},1,"a",[1]]'
            server.shutdown(socket.SHUT_WR)
            client.settimeout(10)
            read = b""
            while chunk := client.recv(65_536):
                read += chunk
            assert event in read.decode(errors="replace")
            assert read.startswith(b"id: e:0\n") is event_stream
    core.close()


def test_a_position_never_goes_back() -> None:
    """Also not by heartbeats that waited when a gap came to pass."""
    core = Core()
    stream = core.open_stream("e", max_events=4, slow_reader="skip")
    client, server = socket.socketpair()
    with client, server:
        server.setblocking(False)
        sink = core.open_event_stream(server.fileno())
        stream.attach(stream.open(JSON, ["a"]), sink, 0, b'["connected"]')
        large = b'["%b"]' % (b"x" * 100_000)
        # The socket is full when the first heartbeat is told, and what was to come before it is lost.
        for _ in range(20):
            stream.publish("a", large, None)
        sink.send_heartbeat()
        sink.send(b'["reply",1,null]')
        for _ in range(20):
            stream.publish("a", large, None)
        sink.send_heartbeat()
        sink.close(1000)
        written = read_all(client)
    core.close()
    offsets = [int(offset) for offset in re.findall(r"^id: e:([0-9]+)$", written, re.MULTILINE)]
    assert "gap" in written and offsets[-1] == 40
    assert offsets == sorted(offsets)
    # The answer is still to come, and once.
    assert written.count('data: ["reply",1,null]\n\n') == 1
    assert written.count(": heartbeat\nid: e:40\n\n") == 1


def test_what_an_event_stream_refuses() -> None:
    core = Core()
    stream = core.open_stream("e")
    client, server = socket.socketpair()
    with client, server:
        sink = core.open_event_stream(server.fileno())
        with pytest.raises(ValueError, match="another encoding"):
            stream.attach(stream.open(Encoding.MSGPACK.index), sink, 0, b"\x90")
        frames = core.open_sink(server.fileno(), JSON)
        with pytest.raises(ValueError, match="made by the core"):
            frames.send_framed(b":\n\n")
        with pytest.raises(ValueError, match="is a message"):
            frames.send_heartbeat()
        with pytest.raises(ValueError, match="125"):
            sink.ping(b"x" * 126)
    core.close()
