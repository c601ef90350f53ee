"""What an `EventSource` listens for when it comes back, to its session or to one that begins anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from event_source import Parser, Response, request
from ringcast import Actor, Context, MemoryStore, Registry, action
from ringcast.server.serve import serving
from ringcast.testing import eventually

ADDRESS = "/actors/board/events?key=a&subscribe=posted&params=%7B%22staff%22%3Atrue%7D"


@dataclass
class Reader:
    staff: bool = False


class Board(Actor[None, Reader]):
    """Has news, and drafts for its staff."""

    def can_subscribe(self, c: Context[None, Reader], event: str) -> bool:
        return event != "drafted" or c.conn.state.staff

    @action
    def post(self, c: Context[None, Reader], text: str) -> None:
        c.broadcast("posted", text)
        c.broadcast("drafted", text)

    @action
    def dismiss(self, c: Context[None, Reader]) -> None:
        for conn in self.conns:
            conn.state.staff = False
        c.broadcast("dismissed")


@pytest.fixture
def registry() -> Registry:
    return Registry(Board, store=MemoryStore())


@pytest.fixture
async def url(registry: Registry) -> AsyncIterator[str]:
    async with serving(registry) as url:
        yield url


def board(registry: Registry) -> Any:
    return registry.client.get_or_create("board", ["a"])


async def messages(response: Response, count: int) -> list[Any]:
    """Return so many messages of a stream."""
    parser, found = Parser(), []
    assert response.status == 200
    while len(found) < count:
        data = await response.reader.read(65_536)
        assert data, "the stream has ended"
        found += parser.feed(data)
    return [message.json for message in found]


async def listening_for_drafts(url: str, registry: Registry) -> dict[str, Any]:
    """Come, listen for drafts instead of posts, and lose the network; return the answer to the connect."""
    response = await request(url, ADDRESS)
    [[_, answer]] = await messages(response, 1)
    changes = [["subscribe", 1, "drafted"], ["unsubscribe", 2, "posted"]]
    session = {"Ringcast-Session": answer["session"]}
    posted = await request(url, "/session/messages", method="POST", headers=session, body=changes)
    assert posted.status == 204
    assert await messages(response, 2) == [["reply", 1, None], ["reply", 2, None]]
    response.writer.close()
    session_of_it = registry.router.gateway.sessions[answer["session"]]
    await eventually(lambda: not session_of_it.attached)
    return dict(answer)


def again(url: str, answer: dict[str, Any], epoch: str) -> Any:
    headers = {"Ringcast-Session": answer["session"], "Last-Event-ID": f"{epoch}:{answer['offset']}"}
    return request(url, ADDRESS, headers=headers)


async def test_a_session_that_goes_on_keeps_what_it_listens_for(url: str, registry: Registry) -> None:
    answer = await listening_for_drafts(url, registry)
    await board(registry).post("one")
    response = await again(url, answer, answer["epoch"])
    [[_, resumed], event] = await messages(response, 2)
    assert (resumed["session"], resumed["replayed"]) == (answer["session"], 1)
    assert event[3:] == ["drafted", ["one"]]
    response.writer.close()


async def test_one_that_does_not_go_on_begins_with_the_names_of_the_address(
    url: str, registry: Registry
) -> None:
    answer = await listening_for_drafts(url, registry)
    response = await again(url, answer, "another")
    [[_, begun]] = await messages(response, 1)
    assert begun["session"] != answer["session"]
    assert begun["gap"]["reason"] == "epoch_changed"
    await board(registry).post("one")
    await board(registry).post("two")
    events = await messages(response, 2)
    assert [event[3:] for event in events] == [["posted", ["one"]], ["posted", ["two"]]]
    response.writer.close()


async def test_what_was_withdrawn_while_it_was_away_is_told_when_it_comes_back(
    url: str, registry: Registry
) -> None:
    answer = await listening_for_drafts(url, registry)
    await board(registry).dismiss()
    await board(registry).post("one")
    response = await again(url, answer, answer["epoch"])
    [[_, resumed]] = await messages(response, 1)
    assert (resumed["session"], resumed["replayed"]) == (answer["session"], 0)
    refused = resumed["refused_subscriptions"]
    assert {name: error["code"] for name, error in refused.items()} == {"drafted": "subscription_refused"}
    response.writer.close()
