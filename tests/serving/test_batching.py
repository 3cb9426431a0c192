"""Which thread answers a batch, and what becomes of it there."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from penchant.serving import batching
from penchant.serving.batching import Batcher
from penchant.serving.catalog import Version
from penchant.serving.questions import Options, Question

PLAIN = Question(k=10, user_id="u")


class Clock:
    """What replies cost, by this clock, and where they are made."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds = 0.0, seconds
        self.batches = []  # how many questions, and whether in the event loop
        monkeypatch.setattr(batching.time, "thread_time", lambda: self.now)
        monkeypatch.setattr(batching, "reply", self.reply)

    def reply(self, service, kind, questions, about):
        here = threading.current_thread() is threading.main_thread()
        self.batches.append((len(questions), here))
        self.now += self.seconds(len(questions))
        if service == "broken":
            raise ValueError("broken")
        return [b"%d" % place for place in range(len(questions))]


def asked(*rounds, version=None, kind="recommend"):
    """Ask what each round says, one round after the other; return the replies of the last."""
    version = version or Version("shop", "1", None)

    async def work():
        batcher = Batcher()
        try:
            for questions in rounds:
                futures = [batcher.ask(version, kind, one) for one in questions]
                replies = await asyncio.wait_for(
                    asyncio.gather(*futures, return_exceptions=True), 60
                )
            return replies
        finally:
            batcher.close()

    return asyncio.run(work())


def test_a_version_is_in_the_loop_once_it_is_known_to_be_quick(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 0.0003)
    assert asked([PLAIN], [PLAIN] * 3, [PLAIN]) == [b"0"]
    assert clock.batches == [(1, False), (3, True), (1, True)]


def test_a_slow_one_stays_in_the_thread(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 0.004)
    asked([PLAIN], [PLAIN], [PLAIN])
    assert clock.batches == [(1, False)] * 3


def test_a_large_batch_goes_by_what_a_question_takes(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 0.0001 * n)
    asked([PLAIN], [PLAIN] * 29, [PLAIN] * 40, [PLAIN], [PLAIN])
    # The one after the large batch is not known to be quicker than that.
    assert clock.batches == [(1, False), (29, True), (40, False), (1, False), (1, True)]


@pytest.mark.parametrize(
    "other",
    [
        Question(k=10, history=("tea",)),
        Question(k=1000, user_id="u"),
        Question(k=10, user_id="u", options=Options(where="x < 1")),
    ],
)
def test_questions_that_may_take_long_go_to_the_thread(monkeypatch, other):
    clock = Clock(monkeypatch, lambda n: 0.0001)
    asked([PLAIN], [other], [PLAIN, other], [PLAIN])
    assert clock.batches == [(1, False), (1, False), (2, False), (1, True)]


def test_other_kinds_and_versions_are_measured_for_themselves(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 0.0001)
    asked([Question(k=10, item_id="i")], [Question(k=10, item_id="i")], kind="similar")
    assert clock.batches == [(1, False)] * 2


def test_an_error_in_the_loop_is_that_of_all_who_wait(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 0.0001)
    version = Version("shop", "1", "broken")

    async def work():
        batcher = Batcher()
        batcher._paces[version] = batching._Pace(0.0001, 1)
        futures = [batcher.ask(version, "recommend", PLAIN) for _ in range(2)]
        found = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 60)
        # It goes on.
        again = batcher.ask(Version("shop", "2", None), "recommend", PLAIN)
        reply = await asyncio.wait_for(again, 60)
        batcher.close()
        return found, reply

    found, reply = asyncio.run(work())
    assert [str(one) for one in found] == ["broken"] * 2
    assert reply == b"0"
    assert clock.batches == [(2, True), (1, False)]


def test_what_is_replaced_is_forgotten(monkeypatch):
    Clock(monkeypatch, lambda n: 0.0001)

    async def work():
        batcher = Batcher()
        await batcher.ask(Version("shop", "1", None), "recommend", PLAIN)
        deadline = time.monotonic() + 60
        while len(batcher._paces) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        batcher.close()
        return len(batcher._paces)

    assert asyncio.run(work()) == 0
