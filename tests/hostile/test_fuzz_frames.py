"""Any sequence of frames over a WebSocket: each is answered, or the socket ends with a code that says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.raw_client import CLOSE, CONTINUATION, PING, PONG, deflate, frame
from ringcast.errors import CloseCode
from ringcast.wire.encoding import Encoding

from .attackers import Attackers
from .conftest import Siege
from .drawing import FEW, WIRE, damaged, values

MESSAGES: list[Any] = [
    *(case["value"] for case in json.loads((WIRE / "messages.json").read_text())["client"]),
    ["connect", {"actor": "room", "key": ["a"], "subscriptions": ["said"]}],
    ["call", 1, "take", ["x"]],
    ["call", 2, "say", [1, 2]],
    ["subscribe", 3, "said"],
    ["subscribe", 4, ["placed", {"x": {"gte": 1}}]],
    ["unsubscribe", 5, "said"],
    ["received", [1, 2]],
]
EXPECTED = {1000, 1002, 1003, 1007, 1009, *(code for code in CloseCode if code != CloseCode.INTERNAL_ERROR)}


@st.composite
def frames(draw: st.DrawFn, encoding: Encoding) -> bytes:
    """Return one frame, whole or damaged, of a message that is valid, damaged or none."""
    kind = 1 if encoding.is_text else 2
    message = st.sampled_from(MESSAGES).map(encoding.encode)
    payload = draw(
        message
        | message.flatmap(damaged)
        | st.lists(values(), max_size=4).map(encoding.encode)
        | st.binary(max_size=60)
        | message.map(deflate)
    )
    opcode = draw(st.just(kind) | st.sampled_from([CONTINUATION, 1, 2, PING, PONG, CLOSE, 5, 11]))
    if opcode in (PING, PONG, CLOSE):
        payload = payload[:125]
    whole = frame(
        opcode,
        payload,
        fin=draw(st.sampled_from([True, True, True, False])),
        rsv=draw(st.sampled_from([0, 0, 0, 0, 4, 1])),
        mask=draw(st.sampled_from([b"mask", b"mask", b"mask", b"\x00\x00\x00\x00", None])),
    )
    return draw(st.just(whole) | st.just(whole) | st.just(whole) | damaged(whole))


@pytest.mark.parametrize("encoding", list(Encoding), ids=lambda encoding: encoding.name.lower())
@pytest.mark.parametrize("connected", [True, False], ids=["connected", "at the beginning"])
async def test_any_frames(hasty_siege: Siege, encoding: Encoding, connected: bool) -> None:
    name = encoding.name.lower()

    def attack(attackers: Attackers) -> None:
        @given(sent=st.lists(frames(encoding), min_size=1, max_size=8), data=st.data())
        @FEW
        def fuzz(sent: list[bytes], data: st.DataObject) -> None:
            each = attackers.open(name)
            each.upgrade(sec_websocket_extensions="permessage-deflate")
            each.compression = True
            if connected:
                each.send_message(["connect", {"actor": "room", "key": ["a"], "subscriptions": ["said"]}])
                assert each.read_message()[0] == "connected"
            stream = b"".join(sent)
            cut = data.draw(st.integers(0, len(stream)))
            each.send_until_refused(stream[:cut])
            each.send_until_refused(stream[cut:])
            # In case that all of it was well: the server may still wait for the end of a frame.
            each.send_until_refused(frame(CLOSE, (1000).to_bytes(2, "big")))
            each.end()
            code = each.until_closed_or_gone()
            assert code is None or code in EXPECTED, (code, sent)
            each.reset()

        fuzz()

    await hasty_siege.withstand(attack)
