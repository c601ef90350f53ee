"""Sockets that have said nothing yet: each is given up in its time, by one timer for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from ringcast.server.newcomers import Newcomers

TIMEOUT_S = 10.0


class Loop:
    """The part of an event loop that tells the time, which goes on when it is told to."""

    def __init__(self) -> None:
        self._now_s = 100.0
        self.timers: list[tuple[float, Callable[..., object], tuple[Any, ...]]] = []
        self.started = 0

    def time(self) -> float:
        return self._now_s

    def call_at(self, when_s: float, callback: Callable[..., object], *args: Any) -> object:
        self.started += 1
        self.timers.append((when_s, callback, args))
        return object()

    def go_on(self, seconds: float) -> None:
        self._now_s += seconds
        due, self.timers = (
            [timer for timer in self.timers if timer[0] <= self._now_s],
            [timer for timer in self.timers if timer[0] > self._now_s],
        )
        for _, callback, args in due:
            callback(*args)


class Socket:
    def __init__(self) -> None:
        self.given_up = 0

    def give_up(self) -> None:
        self.given_up += 1


def begun() -> tuple[Newcomers, Loop, asyncio.AbstractEventLoop]:
    loop = Loop()
    return Newcomers(TIMEOUT_S), loop, cast(asyncio.AbstractEventLoop, loop)


def test_each_is_given_up_in_its_time_and_once() -> None:
    newcomers, clock, loop = begun()
    first, second = Socket(), Socket()
    newcomers.add(first, loop)
    clock.go_on(4)
    newcomers.add(second, loop)
    clock.go_on(5.9)
    assert (first.given_up, second.given_up) == (0, 0)
    clock.go_on(0.1)
    assert (first.given_up, second.given_up) == (1, 0)
    clock.go_on(4)
    assert (first.given_up, second.given_up) == (1, 1)
    clock.go_on(100)
    assert (first.given_up, second.given_up) == (1, 1)
    assert not clock.timers


def test_who_has_said_something_is_not_given_up() -> None:
    newcomers, clock, loop = begun()
    talkative, silent = Socket(), Socket()
    newcomers.add(talkative, loop)
    newcomers.add(silent, loop)
    clock.go_on(3)
    assert newcomers.remove(talkative) == 110.0
    assert newcomers.remove(talkative) is None
    clock.go_on(7)
    assert (talkative.given_up, silent.given_up) == (0, 1)
    assert newcomers.remove(silent) is None


def test_one_timer_does_for_many() -> None:
    newcomers, clock, loop = begun()
    for _ in range(1000):
        socket = Socket()
        newcomers.add(socket, loop)
        clock.go_on(0.001)
        newcomers.remove(socket)
    assert clock.started == 1
    late = Socket()
    newcomers.add(late, loop)
    clock.go_on(9)  # the timer of the very first fires for nobody
    assert (clock.started, late.given_up) == (2, 0)
    clock.go_on(1)
    assert late.given_up == 1


def test_who_comes_after_a_pause_has_its_whole_time() -> None:
    newcomers, clock, loop = begun()
    newcomers.remove(Socket())
    newcomers.add(early := Socket(), loop)
    clock.go_on(10)
    clock.go_on(50)
    newcomers.add(late := Socket(), loop)
    clock.go_on(9.9)
    assert (early.given_up, late.given_up) == (1, 0)
    clock.go_on(0.1)
    assert late.given_up == 1


def test_many_that_stay_silent_are_found_without_looking_at_all_of_them() -> None:
    newcomers, clock, loop = begun()
    sockets = [Socket() for _ in range(2000)]
    for socket in sockets:
        newcomers.add(socket, loop)
        clock.go_on(0.001)
    clock.go_on(7.9995)
    for _ in range(2500):
        clock.go_on(0.001)
    assert [socket.given_up for socket in sockets] == [1] * 2000
    assert not clock.timers
