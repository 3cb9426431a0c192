"""`python -m bench` end to end, on little data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import penchant as pc

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PENCHANT_DATA"}
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_bpr_reports_speed_and_quality(tmp_path):
    path = tmp_path / "bpr.json"
    small = ("--data", "synthetic", "--rows", "4000", "--epochs", "2", "--factors", "16")
    done = bench("bpr", *small, "--repeats", "2", "--json", str(path))
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    content = json.loads(text)
    assert str(tmp_path) not in text  # nothing private ends up in the file
    assert content["results"]["data"]["train_pairs"] == 4000
    assert content["results"]["bytes_per_update"] == 2 * (3 * 16 + 2) * 4
    sides = content["results"]["sides"]
    for name in ("penchant kernel", "penchant BPR.fit"):
        side = sides[name]
        assert len(side["seconds"]) == 2
        assert side["updates_per_second"] == pytest.approx(2 * 4000 / side["median"])
    assert 0 < sides["penchant BPR.fit"]["quality"]["recall@20"] <= 1
    assert content["results"]["checks"][0]["passed"]
    assert ("implicit BPR.fit" in sides) == (find_spec("implicit") is not None)
    assert "implicit takes no part" in done.stdout or "implicit BPR.fit" in sides


def test_svd_reports_speed_and_error(tmp_path):
    path = tmp_path / "svd.json"
    small = ("--rows", "4000", "--epochs", "2", "--factors", "20", "--repeats", "2")
    done = bench("svd", "--data", "synthetic", *small, "--json", str(path))
    assert done.returncode == 0, done.stderr
    results = json.loads(path.read_text())["results"]
    ours = results["sides"]["penchant SVD"]
    assert ours["updates_per_second"] == pytest.approx(2 * 4000 / ours["median"])
    assert 0 < ours["training_rmse"] < 2
    assert results["per_update"] == {"flops": 320, "state_bytes": 512}
    assert ("Surprise SVD" in results["sides"]) == (find_spec("surprise") is not None)


def test_recommend_all_compares_the_lists(tmp_path):
    path = tmp_path / "lists.json"
    small = ("--data", "synthetic", "--rows", "4000", "--epochs", "5", "--factors", "16")
    done = bench("recommend_all", *small, "--repeats", "1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    results = json.loads(path.read_text())["results"]
    assert len(results["agreement"]) >= 2
    assert all(found["agrees"] for found in results["agreement"].values())
    recalls = {side["recall"] for side in results["sides"].values() if "recall" in side}
    assert max(recalls) - min(recalls) < 1e-3
    assert "users/s" in done.stdout


def test_threads_finds_equal_bits():
    done = bench("threads", "--data", "synthetic", "--rows", "4000", "--epochs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("check: ok") >= len(pc.models.list()) + 2  # BPR counts three times


def test_scale_measures_time_and_memory(tmp_path):
    path = tmp_path / "scale.json"
    small = ("--rows", "2000", "--model", "BPR", "--repeats", "1")
    done = bench("scale", *small, "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    first, last = json.loads(path.read_text())["results"]["runs"]["BPR"]
    assert (first["rows"], last["rows"]) == (2000, 20_000)
    assert first["seconds"] > 0
    assert last["peak_bytes"] >= last["csr_bytes"] > first["csr_bytes"]


def test_all_keeps_finished_runs(tmp_path):
    """The second time, nothing is left to do and the table is the same."""
    folder = tmp_path / "runs"
    arguments = ("all", "--only", "import", "--folder", str(folder))
    first = bench(*arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "1 of 1 runs to do" in first.stdout
    second = bench(*arguments)
    assert "0 of 1 runs to do" in second.stdout
    table = [text.partition("figures of this machine")[2] for text in (first.stdout, second.stdout)]
    assert table[0] == table[1]
    assert "import --repeats 3" in table[0]
    assert "no run nonsense" in bench("all", "--only", "nonsense").stderr


@pytest.mark.parametrize("task", [("bpr", "--data", "gowalla"), ("recommend_all",), ("demo",)])
def test_data_that_are_absent_are_named(task):
    done = bench(*task)
    assert done.returncode == 2
    assert "PENCHANT_DATA" in done.stderr
    assert "Traceback" not in done.stderr


def test_options_that_do_not_fit_are_refused():
    done = bench("bpr", "--data", "synthetic", "--rows", "4000", "--quality")
    assert done.returncode == 2
    assert "no setting 'synthetic'" in done.stderr


def test_import_task_measures_fresh_processes(tmp_path):
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(b"12345")
    done = bench(
        "import", "--repeats", "1", "--wheel", str(wheel), "--json", str(tmp_path / "i.json")
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "i.json").read_text())["results"]
    assert results["wheel_bytes"] == 5
    sides = {name: side["statement_median"] for name, side in results["sides"].items()}
    assert 0 < sides["import penchant"] < sides["penchant.Interactions, BPR"]
