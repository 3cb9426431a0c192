"""What is kept for a while, asked for from several threads."""

from __future__ import annotations

import sys
import threading

from penchant.retrieval.kept import keep


def test_threads_share_a_shelf():
    shelf: dict[int, int] = {}
    problems: list[BaseException] = []

    def ask() -> None:
        try:
            for i in range(20_000):
                assert keep(shelf, i % 7, lambda i=i: i % 7, 3) == i % 7
        except BaseException as error:
            problems.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not problems
    assert len(shelf) == 3
