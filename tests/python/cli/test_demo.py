"""`ringcast demo`: the two printed lines work as they are printed, and the ticker keeps its pace."""

from __future__ import annotations

import json
import re
import shlex
import socket
import sys
import time

import httpx

import programs


def printed(said: str, command: str) -> str:
    lines = [line.strip() for line in said.splitlines() if re.search(rf" {command} http://", line)]
    assert len(lines) == 1, said
    return lines[0]


def test_the_printed_lines_work_as_printed() -> None:
    with programs.demo("--speed", "100") as server:
        listen = programs.start("sh", "-c", f"exec {printed(server.said, 'listen')} --count 3")
        ended = listen.finish()
        assert ended.code == 0
        assert [json.loads(line)["name"] for line in ended.out] == ["price"] * 3
        call = programs.start("sh", "-c", printed(server.said, "call")).finish()
        assert call.code == 0
        assert json.loads(call.out[0])["symbol"] == "MSFT"


def test_the_page_that_is_named_is_there() -> None:
    with programs.demo() as server:
        [address] = re.findall(r"A page at (\S+) has their actions to try", server.said)
        assert httpx.get(address).status_code == 200


def test_the_hint_about_cutting_the_network_works() -> None:
    with programs.demo("--speed", "100") as server:
        options = re.search(r"--cut-every 5 --cut-for 3", server.said)
        assert options is not None
        line = f"exec {printed(server.said, 'listen')} {options[0]} --count 3"
        ended = programs.start("sh", "-c", line).finish()
        assert ended.code == 0
        assert len(ended.out) == 3


def test_plays_a_thousand_prices_a_second() -> None:
    with programs.demo("--speed", "1000") as server:
        begun = time.monotonic()
        ended = programs.run("listen", server.url, "ticker", "stocks", "--event", "price", "--count", "2000")
        took_s = time.monotonic() - begun
    found = [json.loads(line)["offset"] for line in ended.out]
    assert found == list(range(found[0], found[0] + 2000))
    # Not faster than asked, but for the second that a busy ticker may make up for; and not so much slower,
    # the start of the listener included, that it would be another speed.
    assert 1 < took_s < 20


def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = programs.run("demo", "--port", port)
    assert ended.code == 1
    assert ended.out == []
    assert ended.err == [f"error: port {port} of 127.0.0.1 is in use; choose another with --port"]


def test_started_as_a_module_the_printed_lines_do_the_same() -> None:
    with programs.demo(program=(sys.executable, "-m", "ringcast")) as server:
        line = printed(server.said, "call")
        assert line.startswith(shlex.join([sys.executable, "-m", "ringcast", "call"]))
        assert programs.start("sh", "-c", line).finish().code == 0
