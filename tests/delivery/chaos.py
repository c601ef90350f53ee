"""The chaos test: real clients, a real server, and between them a network that harms everything.

Clients come over WebSockets in both encodings and over server-sent events; a few are inside the server's
process. `run` is used by the tests and by soak. What is checked, and by whom, is in `contestant.py`.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import programs
from certificates import Certificates
from ringcast import Client
from ringcast.client import ClientConfig
from ringcast.errors import RingcastError

from . import ending
from .contestant import Contestant
from .progress import making_progress
from .proxy import ChaosProxy
from .quiet import quiet_clients
from .verdict import Verdict

__all__ = ["Chaos", "run"]

HERE = Path(__file__).parent
OPTIONS = ("--log-level", "warning", "--session-window", "600")
"""Whoever is cut off again and again, on a busy machine, may take long to come back."""
STUCK_AFTER_S = {False: 15.0, True: 60.0}
"""Without TLS and with it: more attempts fail there, as there is more to get through before the first
message, and one that nothing comes of takes `connect_timeout_s`."""
CARRIED = ("json", "msgpack", "sse", "json", "msgpack", "json", "msgpack")
"""By what the clients come, in turns: a call over server-sent events is a request, which costs ten times as
much."""
PUBLISH_AT_ONCE = 50
MOST_BEHIND = 5000
"""Deliveries of broadcasts that may be due, to all clients together, before more is published: a few seconds'
work on a busy machine. One client may be far behind while the others are not, and has much to catch up on."""
LOOK_AGAIN_S = 0.02
IMPATIENT = ClientConfig(
    reconnect_first_s=0.02,
    reconnect_base_s=0.02,
    reconnect_max_s=0.2,
    connect_timeout_s=5,
    close_timeout_s=2,
    ping_idle_s=1,
    ping_reply_s=1,
)


@dataclass(frozen=True)
class Chaos:
    """How much of it: until so many events are sent, or the time is up."""

    seed: int
    clients: int
    """Behind the network that harms them."""
    events: int
    time_s: float = math.inf
    """From when all clients are connected; what is due then is still delivered, by a network that is calm."""
    tls: bool = False
    """What is cut and split is encrypted then, and the server's event loop writes for the core."""
    inside: int = 8
    """Further clients, inside the server's process."""


def run(chaos: Chaos, verdict: Verdict) -> None:
    """Let the clients play until everything is sent and answered; tell what was done and what went wrong."""
    verdict.clients += chaos.clients + chaos.inside
    with tempfile.TemporaryDirectory() as directory, quiet_clients():
        options: tuple[str, ...] = OPTIONS
        config = IMPATIENT
        if chaos.tls:
            certificates = Certificates.make(Path(directory))
            options = (*OPTIONS, *certificates.options)
            config = replace(IMPATIENT, ssl_context=certificates.client_context())
        with programs.serve("delivery.insiders:registry", *options, cwd=HERE.parent) as server:
            ending.run(_against(server.url, config, chaos, verdict))


async def _against(url: str, config: ClientConfig, chaos: Chaos, verdict: Verdict) -> None:
    address = urlsplit(url)
    async with ChaosProxy(address.hostname or "", address.port or 0, chaos.seed) as proxy:
        far = f"{address.scheme}://{urlsplit(proxy.url).netloc}"
        async with (
            Client(url, config=ClientConfig(ssl_context=config.ssl_context)) as near,
            Client(far, encoding="json", config=config) as json,
            Client(far, encoding="msgpack", config=config) as msgpack,
            # Their sockets are closed by tasks, which on a busy machine may take a while.
            Client(far, transport="sse", config=replace(config, close_timeout_s=20)) as sse,
        ):
            carriers = {"json": json, "msgpack": msgpack, "sse": sse}
            await _through(proxy, near, [carriers[name] for name in CARRIED], chaos, verdict)


async def _through(
    proxy: ChaosProxy, near: Client, far: list[Client], chaos: Chaos, verdict: Verdict
) -> None:
    contestants = [
        Contestant(far[number % len(far)], number, chaos.seed, verdict) for number in range(chaos.clients)
    ]
    insiders = near.insiders.get_or_create(["a"])
    try:
        async with making_progress(lambda: progress(verdict, contestants), STUCK_AFTER_S[chaos.tls]):
            await asyncio.gather(*(contestant.ready() for contestant in contestants))
            await insiders.come(chaos.seed, list(range(chaos.clients, chaos.clients + chaos.inside)))
            await insiders.play()
            await _play(near, proxy, contestants, chaos, verdict)
            await insiders.stop()
            totals = await asyncio.gather(*(contestant.end() for contestant in contestants))
            told = await insiders.tell()
        returned = [value for contestant in contestants for value in contestant.returned]
        _check_sum(returned + told["returned"], totals + told["totals"], verdict)
        verdict.add(Verdict(**told["verdict"]))
    except* TimeoutError:
        verdict.problems += [f"stuck: {contestant}" for contestant in contestants]
    except* RingcastError as failed:
        verdict.problems.append(f"a call failed: {failed.exceptions!r}")
    finally:
        proxy.calm()
        verdict.cuts += proxy.cuts


def progress(verdict: Verdict, contestants: list[Contestant]) -> int:
    return verdict.deliveries + sum(contestant.answers + contestant.has_come for contestant in contestants)


async def _play(
    near: Client, proxy: ChaosProxy, contestants: list[Contestant], chaos: Chaos, verdict: Verdict
) -> None:
    """Call, and come and go, while events are published; then let everybody get what is due."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as play:
        for contestant in contestants:
            play.create_task(contestant.play(over))
        await _publish(near, contestants, chaos, verdict)
        over.set()
        proxy.calm()


async def _publish(near: Client, contestants: list[Contestant], chaos: Chaos, verdict: Verdict) -> None:
    """Publish as fast as it is delivered."""
    end = time.monotonic() + chaos.time_s
    sent: dict[str, int] = {}

    def due() -> int:
        return sum(contestant.behind(sent) for contestant in contestants)

    async with near.arena.get_or_create(["a"]).connect(-1) as connection:
        await connection.begin(chaos.seed)
        for _ in range(0, chaos.events, PUBLISH_AT_ONCE):
            sent = await connection.publish(PUBLISH_AT_ONCE)
            verdict.events += PUBLISH_AT_ONCE
            async with making_progress(due, STUCK_AFTER_S[chaos.tls]):
                # Looking again is cheaper than being told by hundreds of clients of each delivery.
                while due() > MOST_BEHIND and time.monotonic() < end:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_AGAIN_S)
            if time.monotonic() >= end:
                return


def _check_sum(returned: list[int], totals: list[int], verdict: Verdict) -> None:
    """Each call has counted once, and each answer was its own."""
    if set(totals) != {len(returned)}:
        verdict.problems.append(f"the sum is {set(totals)}, but {len(returned)} calls were made")
    if sorted(returned) != list(range(1, len(returned) + 1)):
        verdict.problems.append("two calls were answered with the same sum, or one with none")
