"""Refusals are sent so many a second, however they come."""

import asyncio
import time

from protos.security.budget import SlowRefusals

PER_S, EVERY_S = 100.0, 0.01


def test_refusals_one_after_the_other_are_as_slow_as_many_at_a_time() -> None:
    """Who asks again only when it was refused, once, was refused as fast as it could ask."""

    async def took(at_a_time: int, rounds: int) -> float:
        refusals, began = SlowRefusals(PER_S), time.monotonic()
        for _ in range(rounds):
            await asyncio.gather(*(refusals.wait() for _ in range(at_a_time)))
        return time.monotonic() - began

    for at_a_time, rounds in ((1, 30), (30, 1), (5, 6)):
        assert asyncio.run(took(at_a_time, rounds)) > 28 * EVERY_S


def test_who_went_before_its_turn_keeps_nobody_waiting() -> None:
    async def left() -> float:
        refusals = SlowRefusals(1e-3)
        first, *others = [asyncio.create_task(refusals.wait()) for _ in range(100)]
        await first
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        waiting = asyncio.create_task(refusals.wait())
        await asyncio.sleep(0)
        turn = refusals._next - time.monotonic()
        waiting.cancel()
        return turn

    assert asyncio.run(left()) < 1.1e3


def test_one_that_comes_after_a_while_is_refused_at_once() -> None:
    async def took() -> float:
        refusals = SlowRefusals(1.0)
        began = time.monotonic()
        await refusals.wait()
        return time.monotonic() - began

    assert asyncio.run(took()) < 0.5


def test_what_is_too_many_to_wait_is_refused_at_once() -> None:
    async def done() -> int:
        refusals = SlowRefusals(1e-3, most=10)
        tasks = [asyncio.create_task(refusals.wait()) for _ in range(50)]
        finished, waiting = await asyncio.wait(tasks, timeout=0.2)
        for task in waiting:
            task.cancel()
        return len(finished)

    assert asyncio.run(done()) == 41
