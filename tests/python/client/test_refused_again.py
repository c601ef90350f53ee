"""What a proxy does not pass on although an earlier try may have arrived: nobody knows whether it ran."""

from __future__ import annotations

import asyncio

import pytest

from ringcast.errors import Forbidden, MessageTooBig, OutcomeUnknown
from ringcast.testing import eventually

from .refusing import come_back, desk, posted, refused


@pytest.mark.parametrize("ends_meanwhile", [False, True])
async def test_a_call_that_has_run_is_not_said_to_have_not(ends_meanwhile: bool) -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id = connection.id
        calling = asyncio.ensure_future(connection.note_and_wait("a"))
        while await handle.noted() == 0:
            pass  # it is under way
        proxy.refuse = lambda line, _body: "502 Bad Gateway" if "/events " in line else None
        proxy.cut()
        await eventually(lambda: connection.status == "reconnecting")
        if ends_meanwhile:
            await handle.sign()
        proxy.refuse = posted("413 Content Too Large")
        error = await refused(calling)
        assert isinstance(error, OutcomeUnknown) and "413" in error.message
        assert isinstance(error.__cause__, MessageTooBig)
        proxy.refuse = lambda _line, _body: None
        # Its late answer is nobody's, and no later call is taken for it, or waits for it.
        await handle.sign()
        assert [await connection.note(text) for text in ("b", "cc")] == [1, 2]
        await come_back(connection, proxy)
        assert await connection.noted() == 3
        assert connection.id == id


async def test_what_was_refused_between_two_others_is_no_loss_to_them() -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id = connection.id
        calls = [asyncio.ensure_future(connection.note_and_wait(text)) for text in ("a", "bad", "ccccc")]
        while await handle.noted() < 3:
            pass
        proxy.refuse = lambda line, body: "403 Forbidden" if b"bad" in body else None
        proxy.cut()
        error = await refused(calls[1])
        assert isinstance(error, OutcomeUnknown) and isinstance(error.__cause__, Forbidden)
        await handle.sign()
        assert [await calls[0], await calls[2]] == [1, 5]
        assert (await handle.noted(), connection.id) == (3, id)


async def test_so_it_is_with_a_call_that_needs_no_connection() -> None:
    async with desk() as (handle, proxy):
        calling = asyncio.ensure_future(handle.note_and_wait("a"))
        async with handle.connect() as connection:
            while await connection.noted() == 0:
                pass
            proxy.refuse = lambda line, _body: "403 Forbidden" if "note_and_wait" in line else None
            proxy.cut()
        error = await refused(calling)
        assert isinstance(error, OutcomeUnknown) and "403" in error.message
        assert isinstance(error.__cause__, Forbidden)
