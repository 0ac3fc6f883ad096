"""One computation at a time: who has begun goes before who begins."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.stage.compute import Turns

WAIT = 10


def test_what_follows_goes_before_what_begins() -> None:
    turns, ran, inside, go = Turns(), [], threading.Event(), threading.Event()

    def first() -> None:
        with turns.turn(follows=False):
            inside.set()
            assert go.wait(WAIT)

    def other(name: str, follows: bool) -> None:
        with turns.turn(follows=follows):
            ran.append(name)

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(first)]
        assert inside.wait(WAIT)
        for count, (name, follows) in enumerate(
            [("fit 1", False), ("fit 2", False), ("answers 1", True), ("fit 3", False), ("answers 2", True)],
            start=1,
        ):
            running.append(pool.submit(other, name, follows))
            while len(turns._waiting) < count:  # each asks before the next one does
                pass
        go.set()
        for one in running:
            one.result(WAIT)
    assert ran == ["answers 1", "answers 2", "fit 1", "fit 2", "fit 3"]


def test_an_error_gives_the_turn_back_and_never_two_compute() -> None:
    turns, together, most = Turns(), 0, 0

    def compute(number: int) -> None:
        nonlocal together, most
        with turns.turn(follows=number % 3 == 0):
            together += 1
            most = max(most, together)
            together -= 1
            if number % 5 == 0:
                raise ValueError(number)

    with ThreadPoolExecutor(8) as pool:
        errors = [done.exception() for done in [pool.submit(compute, number) for number in range(200)]]
    assert most == 1 and sum(error is not None for error in errors) == 40
    with pytest.raises(KeyError), turns.turn(follows=True):
        raise KeyError
