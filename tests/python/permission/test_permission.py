"""Permission to listen: who loses it gets nothing that is sent afterwards, and is told."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from linked import LinkedSocket, running
from vaults import (
    REFUSED,
    Vault,
    ann_and_bob,
    do,
    refused,
    settled,
    until,
)

from ringcast.wire.protocol import (
    Call,
    Error,
    Heartbeat,
    Reply,
    Subscribe,
)

# --- withdrawn ----------------------------------------------------------------------------------------------


async def test_what_is_sent_after_the_change_does_not_arrive_and_what_was_sent_before_does(
    vault: type[Vault],
) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, bob):
        await do(router, vault, "make_and_tell", "ann", "guest", "one", "two")
        await do(router, vault, "tell", "three")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["before", "end"]
        assert await refused(ann) == {"secret": REFUSED}
        assert await until(bob, "end") == ["before", "one", "two", "three", "end"]


async def test_the_client_itself_causes_it(vault: type[Vault]) -> None:
    async with ann_and_bob(vault) as (_, ann, _):
        ann.send(Call(1, "make_and_tell", ["ann", "guest", "after"]), Call(2, "look", []))
        assert await until(ann, "before") == ["before"]
        messages = [await ann.next() for _ in range(3)]
        assert [message for message in messages if not isinstance(message, Heartbeat)] == [
            Reply(1, None),
            Reply(2, ["admin", "guest"]),
        ]
        [heartbeat] = [message for message in messages if isinstance(message, Heartbeat)]
        assert heartbeat.refused_subscriptions == {"secret": REFUSED}


async def test_a_reference_that_was_kept_counts(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, _):
        await do(router, vault, "keep", "ann")
        await do(router, vault, "make_kept", "admin")
        await do(router, vault, "make_kept", "guest")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["as admin", "end"]
        assert await refused(ann) == {"secret": REFUSED}


async def test_another_state_in_its_place_counts(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, _):
        await do(router, vault, "replace_state", "ann", "admin")
        await do(router, vault, "replace_state", "ann", "guest")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["as admin", "end"]
        assert await refused(ann) == {"secret": REFUSED}


async def test_on_state_change_is_too_late(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, bob):
        await do(router, vault, "change_state", "bob", "admin")
        await do(router, vault, "change_state", "ann", "guest")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["change 1", "end"]
        assert await refused(ann) == {"secret": REFUSED}
        assert await until(bob, "end") == ["change 1", "change 2", "end"]


async def test_filtered_events_count(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, _):
        await do(router, vault, "tell_named", "one")
        await do(router, vault, "make", "ann", "guest")
        await do(router, vault, "tell_named", "two")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["one", "end"]
        assert await refused(ann) == {"secret": REFUSED}


async def test_send_needs_no_permission(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, _):
        await do(router, vault, "make_and_tell", "ann", "guest", "no")
        await do(router, vault, "whisper", "ann", "yes")
        assert await until(ann, "yes") == ["before", "yes"]


async def test_what_another_thread_sends_counts(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, bob):
        await do(router, vault, "replace_state_and_tell_from_afar", "ann", "owner", "refused, by role")
        await do(router, vault, "replace_state_and_tell_from_afar", "bob", "admin", "one")
        await do(router, vault, "replace_state_and_tell_from_afar", "bob", "guest", "no")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["end"]
        assert await refused(ann) == {"secret": REFUSED}
        assert await until(bob, "end") == ["refused, by role", "one", "end"]
        assert await refused(bob) == {"secret": REFUSED}


@pytest.mark.parametrize(
    ("role", "error"),
    [
        ("unknown", {"code": "unknown_role", "message": "who are you?"}),
        ("broken", {"code": "internal_error", "message": "internal error"}),
    ],
)
async def test_a_hook_that_raises_withdraws(
    vault: type[Vault], role: str, error: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with ann_and_bob(vault) as (router, ann, bob):
        await do(router, vault, "make_and_tell", "ann", role, "after")
        assert await until(bob, "after") == ["before", "after"]
        assert await until(ann, "before") == ["before"]
        assert await refused(ann) == {"secret": error}
        logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert logged == (["a: can_subscribe raised RuntimeError"] if role == "broken" else [])


async def test_only_those_who_were_touched_are_asked_again(vault: type[Vault], asked: list[str]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, bob):
        asked.clear()
        await do(router, vault, "tell", "one", "two")
        assert asked == []
        bob.send(Call(1, "replace_state", ["bob", "guest"]))
        assert await until(ann, "as guest") == ["one", "two", "as guest"]
        await settled(router)
        assert {about for about in asked if about.startswith("ann")} <= {"ann secret", "ann news"}
        asked_of_bob = [about for about in asked if about.startswith("bob")]
        assert sorted(asked_of_bob) == ["bob news", "bob secret"], "each once"
        asked.clear()
        await do(router, vault, "tell", "three")
        assert await until(ann, "three") == ["three"]
        assert asked == [], "what the hook itself looks at is no reason to ask again"


async def test_who_was_allowed_as_another_loses_it_with_the_first_event(vault: type[Vault]) -> None:
    async with running(vault) as router:
        for events in ((), ("news",)):
            async with LinkedSocket(router) as ann:
                name = f"ann{len(events)}"
                params = {"name": name, "role": "guest"}
                await ann.connect(vault.__name__, "a", params=params, events=events)
                await do(router, vault, "make", name, "admin")
                ann.send(Subscribe(1, "secret"))
                assert await ann.receive(Reply) == (1, None)
                # As when it connected: the permission was given in between.
                await do(router, vault, "replace_state", name, "guest")
                await do(router, vault, "tell", "no")
                assert await refused(ann) == {"secret": REFUSED}
                ann.send(Subscribe(2, "news"))
                assert await ann.receive(Reply) == (2, None)
                await do(router, vault, "tell_all", "end")
                assert await until(ann, "end") == ["end"]


async def test_what_was_allowed_at_different_states_is_asked_about_again(
    vault: type[Vault], asked: list[str]
) -> None:
    async with ann_and_bob(vault, ("news",)) as (router, ann, _):
        await do(router, vault, "note", "ann", "a")
        ann.send(Subscribe(1, "secret"))
        assert await ann.receive(Reply) == (1, None)
        asked.clear()
        await do(router, vault, "tell", "one")
        assert await until(ann, "one") == ["one"]
        await settled(router)
        assert [about for about in asked if about.startswith("ann")] == ["ann news", "ann secret"]
        asked.clear()
        await do(router, vault, "tell", "two")
        assert await until(ann, "two") == ["two"]
        assert asked == [], "both are about the same state now"


async def test_an_actor_without_the_hook_has_none_of_this() -> None:
    async with ann_and_bob(Vault) as (router, ann, _):
        await do(router, Vault, "make_and_tell", "ann", "guest", "after")
        assert await until(ann, "after") == ["before", "after"]
        [instance] = router._directory
        assert instance.emitter.permission is None


# --- and given back -----------------------------------------------------------------------------------------


async def test_who_has_it_back_may_subscribe_again(vault: type[Vault]) -> None:
    async with ann_and_bob(vault) as (router, ann, _):
        await do(router, vault, "make_and_tell", "ann", "guest", "one")
        assert await until(ann, "before") == ["before"]
        assert await refused(ann) == {"secret": REFUSED}
        ann.send(Subscribe(1, "secret"))
        assert await ann.receive(Error) == (1, REFUSED)
        await do(router, vault, "make", "ann", "admin")
        await do(router, vault, "tell", "still not")
        ann.send(Subscribe(2, "secret"))
        assert await ann.receive(Reply) == (2, None)
        await do(router, vault, "tell", "again")
        assert await until(ann, "again") == ["again"]


async def test_nothing_happens_to_who_keeps_it(vault: type[Vault]) -> None:
    async with ann_and_bob(vault) as (router, ann, _):
        await do(router, vault, "make_and_tell", "ann", "admin", "one", "two")
        await do(router, vault, "replace_state", "ann", "admin")
        await do(router, vault, "tell", "end")
        assert await until(ann, "end") == ["before", "one", "two", "as admin", "end"]
