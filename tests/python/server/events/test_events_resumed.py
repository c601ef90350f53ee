"""Coming back to a stream of server-sent events: by its session, by a cookie, or by a position alone."""

from __future__ import annotations

from urllib.parse import quote

import orjson
import pytest
from streamed import CONFIG, KeptRoom, by_token, connected, first_message, message_of, post, room, target

from event_source import EventSource, request
from ringcast import MemoryStore, Registry
from ringcast.server.events import COOKIE
from ringcast.server.serve import serving


async def test_nothing_missed_something_replayed_and_a_gap(url: str, registry: Registry) -> None:
    source = EventSource(url, target("shortRoom"))
    answer = await connected(source)
    at = target("shortRoom")
    start = f"{answer['epoch']}:0"
    await source.close()
    [kind, again] = await first_message(await by_token(url, answer, start, at))
    assert kind == "connected" and again["connection"] == answer["connection"]
    assert again["replayed"] == 0 and "gap" not in again
    for text in "abc":
        await room(registry, "short_room").say(text)
    [kind, again] = await first_message(await by_token(url, answer, start, at))
    assert again["replayed"] == 3 and "gap" not in again
    for text in "defg":
        await room(registry, "short_room").say(text)
    [kind, again] = await first_message(await by_token(url, answer, start, at))
    assert again["connection"] == answer["connection"]
    assert again["gap"] == {"reason": "ring_overflow", "first": 1, "last": 3}
    assert (again["offset"], again["replayed"]) == (3, 4)


async def test_a_browser_comes_back_to_its_session_by_itself(url: str, registry: Registry) -> None:
    source = EventSource(url, target("room", "session_name=first"))
    answer = await connected(source)
    assert list(source.cookies) == [COOKIE]
    await room(registry).say("one")
    await source.next("event")
    source.lose()
    await room(registry).say("two")
    again = await connected(source)
    assert (again["connection"], again["session"]) == (answer["connection"], answer["session"])
    assert again["replayed"] == 1 and "gap" not in again
    assert (await source.next()).json[4] == ["two"]
    await source.close()


async def test_what_was_subscribed_since_goes_on_when_a_browser_comes_back(
    url: str, registry: Registry
) -> None:
    source = EventSource(url, target("room", "session_name=first"))
    answer = await connected(source)
    await post(url, answer["session"], ["subscribe", 1, "filled"], ["unsubscribe", 2, "said"])
    assert [(await source.next("reply")).json for _ in range(2)] == [["reply", 1, None], ["reply", 2, None]]
    source.lose()
    await room(registry).say("nothing")
    await room(registry).fill(1, 1)
    again = await connected(source)
    assert again["replayed"] == 1
    assert (await source.next()).json[3:] == ["filled", [0, "x"]]
    await source.close()


async def test_a_durable_session_goes_on_after_a_restart_with_what_it_has_subscribed_since() -> None:
    store = MemoryStore()
    async with serving(Registry(KeptRoom, store=store, config=CONFIG)) as url:
        source = EventSource(url, target("keptRoom"))
        answer = await connected(source)
        await post(url, answer["session"], ["subscribe", 1, "filled"], ["call", 2, "fill", [1, 1]])
        await source.next("reply")
        await source.next("reply")
        await source.close()
    registry = Registry(KeptRoom, store=store, config=CONFIG)
    async with serving(registry) as url:
        position = f"{answer['epoch']}:0"
        [_, again] = await first_message(await by_token(url, answer, position, target("keptRoom")))
        assert (again["connection"], again["replayed"]) == (answer["connection"], 1)
        await room(registry, "kept_room").fill(1, 1)
        [_, again] = await first_message(await by_token(url, answer, position, target("keptRoom")))
        assert (again["connection"], again["replayed"]) == (answer["connection"], 2)


async def test_the_sessions_of_one_browser_are_told_apart_by_their_names(url: str) -> None:
    cookies: dict[str, str] = {}
    sources = [
        EventSource(url, target("room", f"session_name={name}"), cookies=cookies) for name in ("one", "two")
    ]
    answers = [await connected(source) for source in sources]
    assert len(cookies) == 1
    for source in sources:
        source.lose()
    again = [await connected(source) for source in sources]
    assert [each["connection"] for each in again] == [each["connection"] for each in answers]
    assert again[0]["connection"] != again[1]["connection"]
    # The name alone is nothing: without the cookie it is nobody's session.
    stranger = EventSource(url, target("room", "session_name=one"), last_event_id=sources[0].last_event_id)
    theirs = await connected(stranger)
    assert theirs["connection"] not in [each["connection"] for each in answers]
    assert theirs["gap"] == {"reason": "session_expired"}
    for source in (*sources, stranger):
        await source.close()


async def test_a_new_source_goes_on_for_one_that_a_proxy_has_ended(url: str, registry: Registry) -> None:
    cookies: dict[str, str] = {}
    at = target("room", "session_name=first")
    source = EventSource(url, at, cookies=cookies)
    answer = await connected(source)
    await room(registry).say("one")
    position = (await source.next("event")).last_event_id
    # It has been answered with another status than 200: a page makes another one, as the browser does not.
    await source.close()
    await room(registry).say("two")
    instead = EventSource(url, f"{at}&last_event_id={quote(position, safe='')}", cookies=cookies)
    again = await connected(instead)
    assert (again["connection"], again["replayed"]) == (answer["connection"], 1) and "gap" not in again
    assert (await instead.next("event")).json[4] == ["two"]
    # Once it has come back by itself, its address is that of earlier, and its header is what counts.
    instead.lose()
    again = await connected(instead)
    assert (again["connection"], again["replayed"]) == (answer["connection"], 0)
    await instead.close()


async def test_the_cookie_is_kept_from_scripts_and_other_sites(url: str) -> None:
    response = await request(url, target("room", "session_name=first"))
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name.startswith(f"{COOKIE}=") and len(name) > 32
    assert attributes == ["HttpOnly", "SameSite=Strict"]
    response.writer.close()
    response = await request(url, target("room", "session_name=next"), headers={"Cookie": name})
    assert response.status == 200 and "set-cookie" not in response.headers
    response.writer.close()


async def test_a_page_that_begins_again_leaves_nobody_behind(url: str, registry: Registry) -> None:
    cookies: dict[str, str] = {}
    first = EventSource(url, target("room", "session_name=first"), cookies=cookies)
    answer = await connected(first)
    again = EventSource(url, target("room", "session_name=first"), cookies=cookies)
    other = await connected(again)
    assert other["connection"] != answer["connection"] and "gap" not in other
    assert registry.router.connections == 1
    await first.close()
    await again.close()


async def test_without_a_session_a_position_begins_anew_and_says_what_is_lost(
    url: str, registry: Registry
) -> None:
    source = EventSource(url, target())
    answer = await connected(source)
    await room(registry).say("one")
    await source.next("event")
    source.lose()
    again = await connected(source)
    assert again["connection"] != answer["connection"]
    assert again["gap"] == {"reason": "session_expired"} and "replayed" not in again
    await source.close()
    elsewhere = EventSource(url, target("room", "last_event_id=another:7"))
    assert (await connected(elsewhere))["gap"] == {"reason": "epoch_changed"}
    await elsewhere.close()


async def test_the_token_of_another_actors_session_goes_on_with_nothing_of_it(
    url: str, registry: Registry
) -> None:
    elsewhere = EventSource(url, "/actors/room/events?key=b&subscribe=other")
    answer = await connected(elsewhere)
    last_event_id = f"{answer['epoch']}:{answer['offset']}"
    response = await by_token(url, answer, last_event_id)
    [_, begun] = await message_of(response, "connected")
    assert begun["gap"]["reason"] == "session_expired" and begun["session"] != answer["session"]
    [session] = [each for each in registry.router.gateway.sessions.values() if each.token == begun["session"]]
    assert list(session.subscriptions) == ["said"]
    await room(registry).say("heard")
    assert (await message_of(response, "event"))[4] == ["heard"]
    response.writer.close()
    # Nothing has happened to the other one.
    assert answer["session"] in registry.router.gateway.sessions
    await elsewhere.close()


async def test_the_header_says_more_than_the_address_about_the_position(url: str, registry: Registry) -> None:
    source = EventSource(url, target())
    answer = await connected(source)
    await room(registry).say("one")
    epoch = answer["epoch"]
    await source.close()
    session = {"Ringcast-Session": answer["session"]}
    at = target("room", f"last_event_id={epoch}:0")
    [_, again] = await first_message(await request(url, at, headers=session))
    assert (again["offset"], again["replayed"]) == (0, 1)
    response = await request(url, at, headers={**session, "Last-Event-ID": f"{epoch}:1"})
    [_, again] = await first_message(response)
    assert (again["offset"], again["replayed"]) == (1, 0)


async def test_a_session_goes_from_a_stream_to_a_websocket_and_back(url: str, registry: Registry) -> None:
    import websockets  # noqa: PLC0415

    source = EventSource(url, target())
    answer = await connected(source)
    await room(registry).say("one")
    await source.close()
    resume = {"session": answer["session"], "epoch": answer["epoch"], "offset": 0}
    body = {"actor": "room", "key": ["a"], "subscriptions": ["said"], "resume": resume}
    websocket_url = url.replace("http", "ws") + "/connect"
    async with websockets.connect(
        websocket_url, subprotocols=[websockets.Subprotocol("ringcast.v1.json")]
    ) as websocket:
        await websocket.send(orjson.dumps(["connect", body]).decode())
        again = orjson.loads(await websocket.recv())[1]
        assert (again["connection"], again["replayed"]) == (answer["connection"], 1)
        # Messages come over the socket that the session has.
        late = await post(url, answer["session"], ["call", 1, "say", ["no"]])
        assert (late.status, late.json["error"]["code"]) == (400, "not_connected")
        response = await by_token(url, answer, f"{answer['epoch']}:0")
        [_, again] = await first_message(response)
        assert (again["connection"], again["replayed"]) == (answer["connection"], 1)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await websocket.recv()
            await websocket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4004
    assert room(registry) is not None
