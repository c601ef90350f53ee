"""Messages of a client that listens to server-sent events: they come by themselves, into its session."""

from __future__ import annotations

from dataclasses import replace

import pytest
from streamed import CONFIG, connected, post, target

from event_source import EventSource, request
from ringcast import Registry
from ringcast.server.serve import serving


async def test_what_is_sent_again_runs_once(url: str, registry: Registry) -> None:
    source = EventSource(url, target("room", "session_name=first"))
    answer = await connected(source)
    call = ["call", 1, "say", ["once"]]
    assert (await post(url, answer["session"], call)).status == 204
    assert (await source.next()).json[3:] == ["said", ["once"]]
    assert (await source.next()).json == ["reply", 1, 1]
    # Its client does not know whether it has arrived: over the same stream, and over the next.
    await post(url, answer["session"], call)
    assert (await source.next()).json == ["reply", 1, 1]
    source.lose()
    await connected(source)
    await post(url, answer["session"], call, ["call", 2, "say", ["twice"]])
    assert (await source.next()).json == ["reply", 1, 1]
    assert (await source.next()).json[3:] == ["said", ["twice"]]
    assert (await source.next()).json == ["reply", 2, 2]
    await source.close()


async def test_a_request_is_taken_whole_or_not_at_all(url: str, registry: Registry) -> None:
    source = EventSource(url, target())
    answer = await connected(source)
    call = ["call", 1, "say", ["no"]]
    refused = {
        "invalid_message": [["call", 2, "say"], ["connect", {"actor": "room"}], ["call", 0, "say", []], []],
        "unknown_message": [["shout", 1]],
    }
    for code, wrongs in refused.items():
        for wrong in wrongs:
            response = await post(url, answer["session"], call, wrong)
            assert (response.status, response.json["error"]["code"]) == (400, code), wrong
    # The stream goes on, and nothing has run.
    await post(url, answer["session"], ["call", 1, "say", ["yes"]])
    assert (await source.next()).json[3:] == ["said", ["yes"]]
    await source.close()


async def test_text_that_is_no_unicode_is_an_error_of_its_request_alone(url: str) -> None:
    source = EventSource(url, target())
    answer = await connected(source)
    half = [rb'["call",2,"say",["\ud83d"]]', rb'["subscribe",3,["said",{"a":"\ude00"}]]']
    good = [b'["call",1,"say",["one"]]', r'["call",4,"say",["größe \ud83d\ude00"]]'.encode()]
    for body in (b"[%b,%b,%b,%b]" % (good[0], *half, good[1]), half[0]):
        assert (await post(url, answer["session"], body)).status == 204
    assert (await source.next()).json[3:] == ["said", ["one"]]
    assert (await source.next()).json == ["reply", 1, 1]
    kind, id_, first = (await source.next()).json
    assert (kind, id_, first["code"]) == ("error", 2, "validation_error")
    kind, id_, error = (await source.next()).json
    assert (kind, id_, error["code"]) == ("error", 3, "invalid_filter")
    assert (await source.next()).json[3:] == ["said", ["größe 😀"]]
    assert (await source.next()).json == ["reply", 4, 2]
    # It was sent again, and has the same answer.
    assert (await source.next()).json == ["error", 2, first]
    # What stands beside it is read as it is by itself.
    beside = rb'[["call",5,"say",["\ud83d"]],["call",6,"say",[99999999999999999999999]]]'
    assert (await post(url, answer["session"], beside)).status == 204
    for id_ in (5, 6):
        kind, of, error = (await source.next()).json
        assert (kind, of, error["code"]) == ("error", id_, "validation_error")
    await source.close()


@pytest.mark.parametrize(
    "wrong",
    [
        rb'["call",0,"say",["\ud83d"]]',
        rb'["connect",{"actor":"room","params":"\ud83d"}]',
        rb'["call",2,"say",["\ud83d"]',
        rb'["call",2,"say",["\ud83d",NaN]]',
        rb'["call",2,"say",[1e400]]',
        b'["call",2,"say",["\xed\xa0\xbd"]]',
        b'["call",2,"say",[%b]]' % (b"[" * 20_000 + rb'"\ud83d"' + b"]" * 20_000),
    ],
    ids=["no id", "connect", "cut off", "no JSON", "infinity", "no UTF-8", "too deep"],
)
async def test_what_is_wrong_besides_its_text_is_refused(url: str, wrong: bytes) -> None:
    source = EventSource(url, target())
    answer = await connected(source)
    for body in (wrong, b'[["call",1,"say",["no"]],%b]' % wrong):
        response = await post(url, answer["session"], body)
        assert (response.status, response.json["error"]["code"]) == (400, "invalid_message")
    await post(url, answer["session"], ["call", 1, "say", ["yes"]])
    assert (await source.next()).json[3:] == ["said", ["yes"]]
    await source.close()


async def test_a_request_for_an_earlier_stream_comes_too_late(url: str) -> None:
    source = EventSource(url, target("room", "session_name=first"))
    answer = await connected(source)
    assert source.response is not None
    number = source.response.headers["ringcast-stream"]
    source.lose()
    await connected(source)
    late = await post(url, answer["session"], ["unsubscribe", 1, "said"], Ringcast_Stream=number)
    assert (late.status, late.json["error"]["code"]) == (400, "not_connected")
    number = source.response.headers["ringcast-stream"]
    assert (await post(url, answer["session"], ["received", []], Ringcast_Stream=number)).status == 204
    await source.close()


async def test_a_client_that_is_done_ends_its_session(url: str, registry: Registry) -> None:
    source = EventSource(url, target())
    answer = await connected(source)
    session = {"Ringcast-Session": answer["session"]}
    assert (await request(url, "/session", method="DELETE", headers=session)).status == 204
    assert (await source.next("close")).json == [1000, ""]
    assert registry.router.connections == 0
    response = await request(url, "/session", method="DELETE", headers=session)
    assert (response.status, response.json["error"]["code"]) == (404, "unknown_session")
    await source.close()


async def test_requests_wait_while_their_replies_are_not_read(registry: Registry) -> None:
    registry.config = replace(CONFIG, max_pending_messages=8)
    async with serving(registry) as url:
        source = EventSource(url, target())
        answer = await connected(source)
        calls = [["call", number, "say", [str(number)]] for number in range(1, 200)]
        parts = [calls[at : at + 20] for at in range(0, len(calls), 20)]
        responses = [await post(url, answer["session"], *part) for part in parts]
        assert [each.status for each in responses] == [204] * 10
        assert [(await source.next("reply")).json[2] for _ in calls] == list(range(1, 200))
        await source.close()
