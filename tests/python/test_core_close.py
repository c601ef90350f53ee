"""After `Core.close()` nobody waits for a writer thread that has ended."""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable

import pytest

from ringcast._core import Core, Sink, Stream

JSON = 0

TIMEOUT_S = 10
"""For anything that is waited for: reached only by a failing test."""

PAYLOAD = json.dumps(["x" * 1000]).encode()


def blocked(core: Core, stream: Stream) -> tuple[socket.socket, Sink]:
    """A client that does not read, attached to a new connection that listens to `a`."""
    near, far = socket.socketpair()
    sink = core.open_sink(far.fileno(), JSON)
    far.close()
    stream.attach(stream.open(JSON, ["a"]), sink, stream.head, b"[]")
    return near, sink


def test_a_publisher_does_not_wait_for_a_core_that_is_closed() -> None:
    core = Core(max_unswept_bytes=1)
    stream = core.open_stream("e", max_bytes=20_000)
    near, sink = blocked(core, stream)
    stream.publish("a", PAYLOAD, None)
    core.close()
    core.close()
    assert [stream.publish("a", PAYLOAD, None) for _ in range(3)] == [2, 3, 4]
    # Large for its ring, which waits before it is appended.
    assert stream.publish("a", json.dumps(["x" * 7000]).encode(), None) == 5
    assert not stream.notify_when_swept(5)
    sink.drop()
    near.close()


def test_publishers_that_wait_are_let_go_when_the_core_closes() -> None:
    core = Core(max_unswept_bytes=1)
    stream = core.open_stream("e")
    near, sink = blocked(core, stream)
    over = threading.Event()

    def publish() -> None:
        while not over.is_set():
            stream.publish("a", PAYLOAD, None)

    publishers = [threading.Thread(target=publish) for _ in range(3)]
    for publisher in publishers:
        publisher.start()
    core.close()
    after = stream.head
    wait_until(lambda: stream.head >= after + 10)
    over.set()
    for publisher in publishers:
        publisher.join(TIMEOUT_S)
        assert not publisher.is_alive()
    sink.drop()
    near.close()


def test_a_drain_that_waits_is_told_when_the_core_closes() -> None:
    core = Core()
    stream = core.open_stream("e")
    near, sink = blocked(core, stream)
    offset = stream.publish("a", PAYLOAD, None)
    asked = stream.notify_when_swept(offset)
    core.close()
    assert not asked or select.select([core.wake_fd], [], [], TIMEOUT_S)[0]
    if asked:
        assert os.read(core.wake_fd, 1)
    assert not stream.notify_when_swept(offset)
    sink.drop()
    near.close()


def test_a_close_does_not_wait_for_a_core_that_is_closed() -> None:
    core = Core(close_timeout_s=3600)
    stream = core.open_stream("e")
    full = json.dumps(["x" * 4_000_000]).encode()
    near, sink = blocked(core, stream)
    sink.send(full)
    sink.close(1000)
    late_near, late = blocked(core, stream)
    late.send(full)
    assert (sink.end_reason, late.end_reason) == (None, None)
    core.close()
    late.close(1000)
    assert (sink.end_reason, late.end_reason) == ("close_timeout", "close_timeout")
    near.close()
    late_near.close()


def test_a_core_that_nobody_holds_stops_its_threads() -> None:
    before = threads()
    core = Core(writer_threads=3)
    # A thread takes its name when it begins to run.
    wait_until(lambda: threads() == before + 3)
    del core
    gc.collect()
    # The system takes them off the list when they have ended, which takes a moment.
    wait_until(lambda: threads() == before)


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def threads() -> int:
    """Threads of the core in this process."""
    tasks = "/proc/self/task"
    if not os.path.exists(tasks):
        pytest.skip("this system has no list of threads")
    names = []
    for task in os.listdir(tasks):
        try:
            with open(f"{tasks}/{task}/comm") as comm:
                names.append(comm.read().strip())
        except FileNotFoundError:
            pass
    return sum(name.startswith("ringcast-") for name in names)


@pytest.mark.parametrize("close_timeout_s", [-1.0, float("nan"), float("inf"), 86_401.0, 1e300])
def test_a_close_timeout_is_a_number_of_seconds(close_timeout_s: float) -> None:
    with pytest.raises(ValueError, match="close_timeout_s"):
        Core(close_timeout_s=close_timeout_s)
