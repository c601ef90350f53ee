"""`ringcast listen` against the demo's ticker: what it prints, how it ends, and a network that is lost."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import programs
from ringcast.testing import NetworkProxy
from shown import shown


def offsets(lines: list[str]) -> list[int]:
    return [json.loads(line)["offset"] for line in lines]


def consecutive(found: list[int]) -> bool:
    return found == list(range(found[0], found[0] + len(found)))


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_prints_events_as_lines_of_json_until_enough_have_come(url: str, encoding: str) -> None:
    ended = programs.run(
        "listen", url, "ticker", "stocks", "--event", "price", "--count", "25", "--encoding", encoding
    )
    assert ended.code == 0
    assert len(ended.out) == 25
    assert consecutive(offsets(ended.out))
    for line in ended.out:
        event = json.loads(line)
        assert event["name"] == "price"
        assert event["args"][0]["symbol"] in {"MSFT", "AMZN", "IBM", "GOOG", "AAPL"}
    assert ended.err[0].startswith("connected at offset ")
    assert ended.err[1:] == ["disconnected"]


def test_an_actor_that_refuses_the_connection_is_one_line(url: str) -> None:
    ended = programs.run(
        "listen", url, "gameRoom", "eu/1", "--event", "playerMoved", "--params", '{"who": 1}'
    )
    assert ended.code == 1
    assert ended.out == []
    assert len(ended.err) == 1
    assert ended.err[0].startswith("error: ") and "(validation_error)" in ended.err[0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_order(url: str, number: signal.Signals, code: int) -> None:
    process = programs.start(programs.RINGCAST, "listen", url, "ticker", "stocks", "--event", "price")
    assert process.out.line() != ""
    ended = process.finish(number)
    assert ended.code == code
    assert ended.err[1:] == ["disconnected"]


def test_a_reader_that_goes_away_ends_it_without_a_word(url: str) -> None:
    process = programs.start("sh", "-c", f"{programs.RINGCAST} listen {url} ticker stocks --event price "
                                         "| head -n 1; echo done")  # fmt: skip
    ended = process.finish()
    assert len(ended.out) == 2 and ended.out[1] == "done"
    assert ended.err[1:] == ["disconnected"]


def test_the_server_may_end_it(url: str) -> None:
    with programs.demo() as other:
        process = programs.start(
            programs.RINGCAST, "listen", other.url, "gameRoom", "a", "--event", "gameStarted",
            "--params", '{"player_id": "ann"}',
        )  # fmt: skip
        assert process.err.line().startswith("connected")
        started = programs.run(
            "call", other.url, "gameRoom", "a", "start", "--params", '{"player_id": "bob"}'
        )
        assert started.out == ["true"]
        assert json.loads(process.out.line())["name"] == "gameStarted"
    # The server has stopped, with the code that says to come back: the listener tries to.
    assert process.err.line().startswith("disconnected: ")
    assert process.process.poll() is None
    assert process.finish(signal.SIGINT).code == 130


def test_an_event_that_may_not_be_listened_for_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "vault.py").write_text(
        "from ringcast import Actor, Context, MemoryStore, Registry\n"
        "class Vault(Actor):\n"
        "    def can_subscribe(self, c: Context, event: str) -> bool:\n"
        "        return event != 'opened'\n"
        "registry = Registry(Vault, store=MemoryStore())\n"
    )
    with programs.serve("vault:registry", cwd=tmp_path) as server:
        ended = programs.run("listen", server.url, "vault", "1", "--event", "closed", "--event", "opened")
    assert ended.code == 1
    assert ended.err[-1].startswith("error: the subscription to 'opened' was refused")
    assert [line.partition(" ")[0] for line in ended.err] == ["connected", "disconnected", "error:"]


def test_cut_every_cuts_the_network_for_real(url: str) -> None:
    ended = programs.run(
        "listen", url, "ticker", "stocks", "--event", "price", "--count", "200",
        "--cut-every", "0.2", "--cut-for", "0.1",
    )  # fmt: skip
    assert ended.code == 0
    assert len(ended.out) == 200
    assert consecutive(offsets(ended.out))
    said = "\n".join(ended.err)
    first_cut = said.partition("network cut for 0.1 s")[2]
    assert "disconnected: " in first_cut
    assert "network restored" in first_cut
    assert "reconnected\nreplayed " in first_cut
    assert "gap" not in said


async def test_a_thousand_events_over_three_cuts(url: str) -> None:
    """The main job: consecutive events from end to end, with the network cut three times on the way."""
    server = urlsplit(url)
    async with NetworkProxy(server.hostname or "", server.port or 0) as network:
        process = await asyncio.create_subprocess_exec(
            programs.RINGCAST, "listen", network.url, "ticker", "stocks", "--event", "price",
            "--count", "1000", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        found: list[int] = []
        said: list[str] = []
        async with asyncio.timeout(60):
            for cut_at in (100, 300, 500):
                while len(found) < cut_at:
                    found += offsets([(await process.stdout.readline()).decode()])
                network.cut()
                while not (said and said[-1].startswith("disconnected")):
                    said.append((await process.stderr.readline()).decode().strip())
                network.restore()
                while not said[-1].startswith("replayed"):
                    said.append((await process.stderr.readline()).decode().strip())
            out, err = await process.communicate()
    found += offsets(out.decode().splitlines())
    assert process.returncode == 0
    assert len(found) == 1000
    assert consecutive(found)
    assert [line.partition(" ")[0] for line in said] == ["connected"] + 3 * [
        "disconnected:",
        "reconnected",
        "replayed",
    ]
    # The cuts did cost something, or this would show nothing.
    assert sum(int(line.split()[1].rstrip(":")) for line in said if line.startswith("replayed ")) > 0
    assert err.decode().splitlines() == ["disconnected"]


# --- some of the events -------------------------------------------------------------------------------------

PRICES = ("ticker", "stocks", "--event", "price")


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("where", "symbols"),
    [
        (["symbol=MSFT"], {"MSFT"}),
        (["price.symbol=MSFT"], {"MSFT"}),
        (['symbol__in=["IBM", "GOOG"]', "price__gt=0"], {"IBM", "GOOG"}),
        (["symbol__prefix=A", "price.symbol__ne=AMZN"], {"AAPL"}),
        (['symbol="IBM"', "price__not_in=[1, 2.5]"], {"IBM"}),
    ],
    ids=shown,
)
def test_only_what_matches_is_printed(url: str, where: list[str], symbols: set[str], encoding: str) -> None:
    options = [word for condition in where for word in ("--where", condition)]
    ended = programs.run("listen", url, *PRICES, *options, "--count", "3", "--encoding", encoding)
    assert ended.code == 0
    assert {json.loads(line)["args"][0]["symbol"] for line in ended.out} <= symbols
    assert len(ended.out) == 3


@pytest.mark.parametrize(
    ("where", "told"),
    [
        (["symbol"], "'symbol' is no FIELD=VALUE"),
        (["=3"], "'=3' is no FIELD=VALUE"),
        (["price__gte=3"], "there is no operator 'gte' (did you mean 'ge'?)"),
        (
            ["price.symbol__in=IBM"],
            "attribute('symbol') is compared with a list, tuple or set of values",
        ),
        (["symbol=IBM", "price.symbol=MSFT"], "'symbol' of 'price' is said twice"),
        (["symbol=[1]"], "attribute('symbol') is compared with None, a bool, int, float, str or enum member"),
        (["price__lt=NaN"], ""),
    ],
    ids=shown,
)
def test_a_condition_that_is_none_is_refused_before_a_connect(where: list[str], told: str) -> None:
    options = [word for condition in where for word in ("--where", condition)]
    # Nobody listens there.
    ended = programs.run("listen", "http://127.0.0.1:9", *PRICES, *options)
    assert ended.out == []
    if told:
        assert ended.code == 2
        assert told in "\n".join(ended.err)
    else:
        assert ended.code == 1, "it is text, and only the server knows that the field is a number"


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("smybol=IBM", "Quote has no field 'smybol' (did you mean 'symbol'?)"),
        ("other.symbol=IBM", "Quote has no field 'other.symbol'"),
        ("price=high", "attribute('price') == 'high' never matches: Quote.price has the type"),
    ],
)
def test_a_field_that_the_event_has_not_is_named_by_the_server(url: str, where: str, told: str) -> None:
    ended = programs.run("listen", url, *PRICES, "--where", where)
    assert (ended.code, ended.out) == (1, [])
    assert told in "\n".join(ended.err)


def test_conditions_of_one_event_are_not_for_the_others(url: str) -> None:
    ended = programs.run(
        "listen", url, "gameRoom", "where", "--event", "playerMoved", "--event", "gameStarted",
        "--where", "gameStarted.x=1", "--params", '{"player_id": "ann"}',
    )  # fmt: skip
    assert ended.code == 1
    assert "'gameStarted' cannot be filtered" in "\n".join(ended.err)
    assert "playerMoved" not in "\n".join(ended.err)
