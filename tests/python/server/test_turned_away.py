"""Why a client could not be accepted, and what it is told: the same for every kind of socket."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from ringcast import Actor, MemoryStore, Registry
from ringcast.errors import CloseCode, ConnectionClosed, may_come_back
from ringcast.server.endpoint import Endpoint


class Nobody(Actor):
    """Whom nobody reaches."""


@pytest.fixture
def endpoint() -> Endpoint:
    registry = Registry(Nobody, store=MemoryStore())
    return Endpoint(registry.router, registry.config)


async def test_where_no_more_sockets_can_be_had_it_may_come_back_and_the_log_says_so_once(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    full = OSError(errno.EMFILE, "Too many open files")
    told = [endpoint.turned_away_for(full) for _ in range(100)]
    assert {(code, error.code) for code, error in told} == {(CloseCode.TRY_AGAIN_LATER, "try_again_later")}
    assert may_come_back(CloseCode.TRY_AGAIN_LATER)
    await asyncio.sleep(0)
    assert caplog.messages == ["connections are turned away: [Errno 24] Too many open files"]


def test_while_the_router_does_not_run_it_is_told_that(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConnectionClosed) as closed:
        endpoint.router.open_event_stream(0)
    assert endpoint.turned_away_for(closed.value) == (CloseCode.SERVER_RESTART, closed.value)
    assert not caplog.messages


def test_a_fault_is_logged_and_its_text_is_for_nobody_else(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    code, error = endpoint.turned_away_for(RuntimeError("the secret"))
    assert (code, error.code, error.message) == (CloseCode.INTERNAL_ERROR, "internal_error", "internal error")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and "the secret" in caplog.text
