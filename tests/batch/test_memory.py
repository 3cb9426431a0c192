"""What a job holds at a time: measured as a process of its own, with all that is not Python's."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import penchant as pc

N = 6000  # users, and items
CHILD = """
import sys
import penchant as pc
job, model, source, out = sys.argv[1:]
getattr(pc.batch, job)(model, source, out, num_threads=1)
# Of this program alone: what getrusage tells counts the process that started it, too.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """The artifact of a model of so many users and items that a list of all of them is long."""
    names = np.arange(N)
    rows = {"who": np.r_[names, names], "what": np.r_[names, (names + 1) % N]}
    data = pc.Interactions.from_frame(pd.DataFrame(rows), user="who", item="what")
    path = tmp_path_factory.mktemp("wide") / "artifact"
    pc.BPR(factors=4, epochs=1).fit(data, progress=False).save(path)
    return path


@pytest.fixture
def peak(tmp_path):
    """Run a job on some lines as a process; give the megabytes that it held at most."""

    def peak(job, model, lines):
        source = tmp_path / "in.jsonl"
        source.write_text("".join(json.dumps(line) + "\n" for line in lines))
        command = [sys.executable, "-c", CHILD, job, str(model), str(source), str(tmp_path / "out")]
        # One allocator of blocks for all, which gives back what is free.
        variables = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **variables}
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout) / 1024

    return peak


def question(job, number, **more):
    return {"userId" if job == "recommend" else "itemId": str(number), **more}


@pytest.mark.parametrize("job", ["recommend", "related", "segment"])
def test_one_line_that_wants_everything_costs_what_it_gets(peak, wide, job):
    """The others do not cost as much because of it."""
    lines = [question(job, number, numResults=5) for number in range(2000)]
    few = peak(job, wide, lines)
    lines[700]["numResults"] = N
    assert peak(job, wide, lines) < few + 60


@pytest.mark.slow
@pytest.mark.parametrize("job", ["recommend", "rank", "related", "segment", "transform"])
def test_memory_does_not_grow_with_the_file(peak, wide, job):
    """Ten times the lines; all answers at once would be 50 MB of codes, and as much of text."""

    def lines(n):
        if job == "transform":
            return [{"user_id": number % N, "top_n": 100} for number in range(n)]
        if job == "rank":
            items = [str(item) for item in range(100)]
            return [{"userId": str(number % N), "itemList": items} for number in range(n)]
        return [question(job, number % N, numResults=100) for number in range(n)]

    assert peak(job, wide, lines(20_000)) < peak(job, wide, lines(2000)) + 30
