"""Faults that clients can cause again and again do not fill the log, and none of their kinds is hidden."""

from __future__ import annotations

import logging

import pytest
from linked import LinkedSocket, eventually, running

from ringcast import Actor, Client, Context, MemoryStore, Registry, UserError, action
from ringcast.errors import InternalError
from ringcast.fault_log import MOST_OF_A_KIND, WINDOW_S, FaultLog
from ringcast.server.serve import serving
from ringcast.testing import ManualClock
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Error

TIMES = MOST_OF_A_KIND + 5
DEEP = 300
"""More than can be written, and less than can be read."""
LOG = logging.getLogger("ringcast.test_fault_log")


class Fragile(Actor):
    """Fails in ways that depend on what it is sent."""

    @action
    def nests(self, c: Context, depth: int) -> list[object]:
        value: list[object] = []
        for _ in range(depth):
            value = [value]
        return value

    @action
    def complains(self, c: Context, depth: int) -> None:
        raise UserError("too deep", metadata=self.nests(c, depth))

    @action
    def fails(self, c: Context, how: str) -> None:
        raise {"value": ValueError, "type": TypeError}[how](how)

    @action
    async def fails_later(self, c: Context) -> None:
        raise ValueError("later")

    @action
    def fails_behind(self, c: Context) -> None:
        for _ in range(TIMES):
            c.spawn(self.fails_later(c))


def with_tracebacks(caplog: pytest.LogCaptureFixture, *, of: str = "") -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.exc_info and of in record.getMessage()]


def fault(log: FaultLog, error: Exception, message: str = "%s failed", name: str = "this") -> None:
    log.log(LOG, error, message, name)


async def test_of_a_kind_some_are_logged_in_a_window_and_the_next_one_tells_how_many_were_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    log = FaultLog(clock)
    for _ in range(TIMES):
        fault(log, ValueError())
    said = [record.getMessage() for record in with_tracebacks(caplog)]
    assert said == ["this failed"] * (MOST_OF_A_KIND - 1) + [
        "this failed (more of these are only counted, for up to 60 s)"
    ]
    caplog.clear()
    await clock.advance(WINDOW_S - 1)
    fault(log, ValueError())
    assert not caplog.records
    await clock.advance(1)
    fault(log, ValueError())
    fault(log, ValueError())
    left_out = TIMES - MOST_OF_A_KIND + 1
    assert [record.getMessage() for record in with_tracebacks(caplog)] == [
        f"this failed ({left_out} more of these were not logged before it)",
        "this failed",
    ]


async def test_what_fills_its_share_hides_nothing_of_another_kind(caplog: pytest.LogCaptureFixture) -> None:
    log = FaultLog(ManualClock())
    for _ in range(TIMES):
        fault(log, ValueError())
    caplog.clear()
    fault(log, TypeError())
    fault(log, ValueError(), name="that")
    fault(log, ValueError(), "%s cannot be written")
    assert [record.getMessage() for record in with_tracebacks(caplog)] == [
        "this failed",
        "that failed",
        "this cannot be written",
    ]


async def test_a_clock_that_is_set_back_silences_nobody_for_longer(caplog: pytest.LogCaptureFixture) -> None:
    class Clock(ManualClock):
        back_s = 0.0

        def now(self) -> float:
            return super().now() - self.back_s

    clock = Clock()
    log = FaultLog(clock)
    for _ in range(TIMES):
        fault(log, ValueError())
    caplog.clear()
    clock.back_s = 3600.0
    fault(log, ValueError())
    assert len(with_tracebacks(caplog)) == 1


async def test_of_endlessly_many_kinds_the_oldest_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    log = FaultLog(ManualClock())
    for number in range(5000):
        fault(log, ValueError(), name=str(number))
    assert len(log) < 5000
    assert len(with_tracebacks(caplog)) == 5000


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize(
    ("name", "argument", "code", "logged"),
    [
        ("nests", DEEP, "internal_error", "cannot be written"),
        ("complains", DEEP, "user_error", "an error cannot be written"),
        ("fails", "value", "internal_error", "action fails raised ValueError"),
        ("failsLater", None, "internal_error", "action fails_later raised ValueError"),
    ],
)
async def test_a_client_gets_its_error_each_time_and_the_log_a_few(
    encoding: Encoding,
    name: str,
    argument: object,
    code: str,
    logged: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    args = [] if argument is None else [argument]
    async with running(Fragile) as router:
        for key in "ab":
            async with LinkedSocket(router, encoding) as client:
                await client.connect("fragile", key)
                for id in range(1, TIMES + 1):
                    client.send(Call(id, name, args))
                    answer = await client.receive(Error)
                    assert answer.error["code"] == code
        assert len(with_tracebacks(caplog, of=logged)) == MOST_OF_A_KIND
        async with LinkedSocket(router, encoding) as client:
            await client.connect("fragile", "a")
            client.send(Call(1, "fails", ["type"]))
            await client.receive(Error)
        assert len(with_tracebacks(caplog, of="action fails raised TypeError")) == 1


async def test_calls_over_http_do_not_fill_the_log_either(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Registry(Fragile, store=MemoryStore())) as url, Client(url) as client:
        for _ in range(TIMES):
            with pytest.raises(InternalError):
                await client.fragile.get_or_create("k").nests(DEEP)
    assert len(with_tracebacks(caplog, of="an HTTP request failed")) == MOST_OF_A_KIND


async def test_background_tasks_without_a_name_are_of_one_kind(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Fragile) as router, LinkedSocket(router) as client:
        await client.connect("fragile", "k")
        client.send(Call(1, "failsBehind", []))
        await eventually(lambda: with_tracebacks(caplog))
    assert len(with_tracebacks(caplog, of="background task Fragile.fails_later raised")) == MOST_OF_A_KIND


async def test_a_server_that_starts_has_logged_nothing_yet(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        async with running(Fragile) as router, LinkedSocket(router) as client:
            await client.connect("fragile", "k")
            client.send(*(Call(id, "fails", ["value"]) for id in range(1, TIMES + 1)))
            await eventually(lambda: with_tracebacks(caplog))
        assert len(with_tracebacks(caplog)) == MOST_OF_A_KIND
        caplog.clear()
