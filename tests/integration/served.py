"""How the tests run a server, and what they ask of a client: what the fixtures and single tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from ringcast.client import ClientConfig

HERE: Final = Path(__file__).parent
"""Where `actors:registry` is found."""

OPTIONS: Final = ("--log-level", "warning")
"""A pipe that nobody reads until the end holds only so much."""

IMPATIENT: Final = ClientConfig(reconnect_first_s=0.02, reconnect_base_s=0.02, reconnect_max_s=0.1)

CROWD_CONNECTS_PER_S: Final = 150
"""What `crowded.py` lets in."""

Encoding = Literal["json", "msgpack"]

Transport = Literal["plain", "tls"]

Carrier = Literal["websocket", "sse"]

CARRIED: Final = (("websocket", "json"), ("websocket", "msgpack"), ("sse", "json"))
"""What connections go over, each with the encodings that it has."""
