"""A connect message that arrives after the client has given up on its socket and come back over another."""

from __future__ import annotations

from dataclasses import replace

from linked import LinkedSocket, resume_from, running
from room import Room, actor_of

from ringcast.errors import CloseCode
from ringcast.wire.protocol import Connect, Event


async def test_it_does_not_take_the_session_from_the_newer_socket() -> None:
    async with running(Room) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a", events=("said",))
            await first.receive(Event)
        async with LinkedSocket(router) as given_up, LinkedSocket(router) as second:
            again = await second.connect("room", "a", resume=resume_from(connected, 2), events=("said",))
            given_up.send(Connect("room", ("a",), resume=resume_from(connected, 2)))
            await given_up.closed_with(CloseCode.SESSION_REPLACED)
            actor_of(router).broadcast("said", "x")
            assert (await second.receive(Event)).args == ["x"]
            assert again.session == connected.session


async def test_nor_does_one_that_was_overtaken_on_its_way() -> None:
    # As over HTTP, where nothing has to be answered before a connect message is sent.
    async with running(Room) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a", events=("said",))
            await first.receive(Event)
        resume = resume_from(connected, 2)
        async with LinkedSocket(router) as second, LinkedSocket(router) as given_up:
            await second.connect("room", "a", resume=replace(resume, number=2), events=("said",))
            given_up.send(Connect("room", ("a",), resume=replace(resume, number=1)))
            await given_up.closed_with(CloseCode.SESSION_REPLACED)
            actor_of(router).broadcast("said", "x")
            assert (await second.receive(Event)).args == ["x"]
        async with LinkedSocket(router) as third:
            again = await third.connect(
                "room", "a", resume=replace(resume, offset=3, number=3), events=("said",)
            )
            assert (again.session, again.replayed) == (connected.session, 0)
