"""pc.jobs: real processes that train, are watched, stopped, killed and found again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import penchant as pc
from job_support import frame, interactions
from penchant import locks
from penchant.cli.app import app
from penchant.errors import DataError, JobError, MissingFileError, ParameterError
from penchant.jobs import starting
from penchant.jobs.state import is_running, spawn
from refusing_postgres import refusing_postgres

ENDLESS = {"factors": 4, "epochs": 1_000_000}
QUICK = {"factors": 8, "epochs": 5, "metrics": "precision,ndcg", "k": 3}


@pytest.fixture(scope="module")
def done(state):
    inputs = {"training": interactions(), "testing": interactions(held_out=True)}
    return pc.jobs.train("bpr", inputs, QUICK, progress=False)


@pytest.fixture
def endless(state):
    """A job that goes on until it is stopped, in its first epochs."""
    job = pc.jobs.train("bpr", {"training": interactions()}, ENDLESS, wait=False)
    until(lambda: "epoch=2;" in job.logs(), job)
    return job


def until(condition, job):
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, job.logs()
        time.sleep(0.02)


def test_a_folder_has_one_process(tmp_path):
    with open(tmp_path / "lock", "w") as file:
        assert locks.take(file.fileno())
        with pytest.raises(JobError, match=f"a process of {tmp_path} is running"):
            spawn(tmp_path, "this", [], {})
        assert is_running(tmp_path)
    assert not is_running(tmp_path)


def test_two_who_ask_at_once_are_no_holders(tmp_path, monkeypatch):
    """The second asks while the first holds the lock to find out."""
    (tmp_path / "lock").touch()
    answers = []

    def take(*arguments, **options):
        taken = real(*arguments, **options)
        if not answers:
            answers.append(None)
            answers[0] = locks.is_held(tmp_path / "lock")
        return taken

    real = locks.take
    monkeypatch.setattr(locks, "take", take)
    answers.append(locks.is_held(tmp_path / "lock"))
    assert answers == [False, False]


def test_a_job(done, state):
    assert done.status == "Completed"
    assert done.failure is None
    assert done.name.startswith("bpr-20")
    assert done.folder == state / "jobs" / done.name
    assert repr(done) == f"Job('{done.name}', Completed)"
    model = done.model()
    assert model.get_params()["factors"] == 8
    assert model.columns_.user == "customer"
    assert done.artifact == done.folder / "model"
    assert done.archive.name == "model.tar.gz"
    assert done.archive.exists()
    assert done.summary()["users"] == 40


def test_metrics(done):
    found = done.metrics()
    assert list(found.columns) == ["timestamp", "metric", "value", "epoch"]
    assert str(found["timestamp"].dt.tz) == "UTC"
    assert found["timestamp"].is_monotonic_increasing
    values = found.pivot_table(index="epoch", columns="metric", values="value")
    assert list(values.index) == [1, 2, 3, 4, 5]
    assert set(values.columns) == {"loss", "auc", "p@k(3)", "ndcg@k(3)"}
    measured = pc.evaluate(done.model(), interactions(held_out=True), ["precision@3"])
    assert values["p@k(3)"].iloc[-1] == pytest.approx(measured["value"][0], rel=1e-5)


def test_plot(done, tmp_path):
    pytest.importorskip("matplotlib")
    figure = done.plot(tmp_path / "metrics.png")
    assert (tmp_path / "metrics.png").read_bytes().startswith(b"\x89PNG")
    upper, lower = figure.axes
    assert {line.get_label() for line in upper.lines} == {"p@k(3)", "ndcg@k(3)"}
    assert list(upper.lines[0].get_xdata()) == [1, 2, 3, 4, 5]
    assert {line.get_label() for line in lower.lines} == {"loss", "auc"}
    assert done.plot_metrics().axes[0].get_title() == done.name


def test_transform(done, tmp_path):
    source = tmp_path / "in.jsonl"
    lines = [
        '{"user_id": 17003, "top_n": 2}', '{"user_id": "nobody", "top_n": 1}', "{", "",
        '{"user_id": "17001"}', "x" * 200_000, '{"user_id": 17003, "top_n": 2}',
    ]  # fmt: skip
    source.write_text("\n".join(lines))
    out = done.transformer().transform(source)
    assert out == tmp_path / "in.jsonl.out"
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(answers) == 6  # the blank line is none
    wanted = done.model().recommend(17003, k=2)["product"].tolist()
    assert [row["item_id"] for row in answers[0]["items"]] == wanted
    assert answers[0] == answers[5]
    assert (answers[1]["user_id"], len(answers[1]["items"])) == ("nobody", 1)
    assert answers[2]["error"].startswith("line 3: not JSON")
    assert (answers[3]["user_id"], len(answers[3]["items"])) == (17001, 10)
    assert answers[4]["error"].startswith("line 6: longer than")
    with pytest.raises(ParameterError, match="would replace the requests"):
        done.transformer().transform(source, source)
    with pytest.raises(MissingFileError, match="no such file"):
        done.transformer().transform(tmp_path / "missing.jsonl")


def test_stop(endless):
    assert endless.status == "InProgress"
    with pytest.raises(JobError, match="has no model: InProgress"):
        endless.model()
    with pytest.raises(JobError, match="is in progress: stop it first"):
        endless.delete()
    with pytest.raises(JobError, match="goes on after"):
        endless.wait(timeout=0, progress=False)
    assert len(endless.metrics()) >= 4
    endless.stop()
    assert endless.wait(progress=False) is endless
    assert endless.status == "Stopped"
    assert 2 <= len(endless.model().history_) < 1_000_000
    endless.stop()  # again: nothing happens
    assert endless.status == "Stopped"
    endless.delete()
    with pytest.raises(JobError, match="there is no job"):
        pc.jobs.get(endless.name)


def test_a_killed_job_has_failed(endless):
    os.kill(json.loads((endless.folder / "job.json").read_text())["pid"], signal.SIGKILL)
    with pytest.raises(JobError, match="its process ended without a word"):
        endless.wait(progress=False)
    assert endless.status == "Failed"
    assert pc.jobs.get(endless.name).status == "Failed"
    with pytest.raises(JobError, match="has no model: Failed"):
        endless.artifact  # noqa: B018


def test_a_failed_job(state):
    sales = frame().rename(columns={"customer": "user_id"})
    with pytest.raises(JobError, match=r"job sad failed: .*no column 'item_id'"):
        pc.jobs.train("popularity", {"training": sales}, name="sad", progress=False)
    job = pc.jobs.get("sad")
    assert job.status == "Failed"
    assert "the hyperparameter item_column names it" in job.failure
    assert job.failure in job.logs()
    with pytest.raises(DataError, match="sad has measured nothing"):
        job.plot()


def test_a_job_outlives_who_started_it(state):
    """Started by a process that is killed at once, with its whole group; found by its name."""
    code = (
        "import os, signal, test_jobs as t, penchant as pc\n"
        "pc.jobs.train('bpr', {'training': t.interactions()}, t.QUICK, name='kept', wait=False)\n"
        "os.killpg(0, signal.SIGKILL)"
    )
    here = os.path.dirname(__file__)
    path = os.pathsep.join([here, os.path.dirname(here), os.environ.get("PYTHONPATH", "")])
    started = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
        timeout=300,
        check=False,
    )
    assert started.returncode == -signal.SIGKILL
    job = pc.jobs.get("kept").wait(progress=False)
    assert job.status == "Completed"
    assert len(job.metrics()) == 10


def test_a_model_as_an_object(state):
    model = pc.IALS(factors=4, epochs=2, solver="cholesky", num_threads=1)
    job = pc.jobs.train(model, {"training": interactions()}, {"alpha": 2.0}, progress=False)
    assert job.model().get_params() == {**model.get_params(), "alpha": 2.0}


def test_a_secret_in_the_environment_is_written_nowhere(state):
    pytest.importorskip("psycopg")
    with refusing_postgres() as url:
        said = {"data_url": url, "table": "sales", "secret": "env:SHOP_PASSWORD"}
        secret = {"SHOP_PASSWORD": "hunter2"}
        with pytest.raises(JobError, match=r"cannot be opened: .*not the password: \*\*\*"):
            pc.jobs.train("popularity", None, said, name="dark", environment=secret, progress=False)
    files = [path for path in pc.jobs.get("dark").folder.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not any(b"hunter2" in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "bpt"}, "no model 'bpt', did you mean 'bpr'"),
        ({"hyperparameters": {"epoch": 3}}, "no hyperparameter 'epoch', did you mean 'epochs'"),
        ({"hyperparameters": {"epochs": 0}}, "epochs must be an integer from 1"),
        ({"inputs": {"train": "x"}}, "no use for an input 'train', did you mean 'training'"),
        ({"inputs": "x.csv"}, "inputs must be a mapping"),
        ({"name": "../x"}, "a name must be letters"),
        ({"name": "a/b"}, "a name must be letters"),
        ({"name": ""}, "a name must be letters"),
        ({"name": "x" * 64}, "63 at most"),
        ({"model": pc.Pipeline(retrieve=pc.IALS())}, "is a model: give its name"),
    ],
)
def test_wrong_arguments(state, arguments, message):
    before = sorted((state / "jobs").glob("*")) if (state / "jobs").exists() else []
    with pytest.raises(ParameterError, match=message):
        pc.jobs.train(**{"inputs": {"training": frame()}, **arguments})
    assert sorted((state / "jobs").glob("*")) == before or not (state / "jobs").exists()


def test_a_missing_file(state, tmp_path):
    with pytest.raises(MissingFileError, match="no such file or folder"):
        pc.jobs.train(inputs={"training": tmp_path / "missing.csv"}, name="gone")
    assert not (state / "jobs" / "gone").exists()


def test_a_job_that_cannot_be_written_down_does_not_go_on(state, monkeypatch):
    """The disk is full once the process runs: it is ended, and its name is free again."""
    spawned = []

    def spawn(folder, *arguments):
        spawned.append(starting_spawn(folder, *arguments))
        (folder / "job.json").mkdir()  # nothing can be written there
        return spawned[0]

    starting_spawn = starting.spawn
    monkeypatch.setattr(starting, "spawn", spawn)
    with pytest.raises(OSError, match=r"job\.json"):
        pc.jobs.train("bpr", {"training": interactions()}, ENDLESS, name="full", wait=False)
    with pytest.raises(ProcessLookupError):
        os.kill(spawned[0], 0)
    assert not (state / "jobs" / "full").exists()
    monkeypatch.undo()
    again = pc.jobs.train("popularity", {"training": interactions()}, name="full", progress=False)
    assert again.status == "Completed"


def test_a_number_that_another_process_has_now(done, tmp_path):
    """Whoever started that one still gets its exit status, and it gets no signal."""
    shutil.copytree(done.folder, tmp_path / "job")
    path = tmp_path / "job" / "job.json"
    with subprocess.Popen([sys.executable, "-c", "input(); exit(7)"], stdin=subprocess.PIPE) as own:
        path.write_text(json.dumps({**json.loads(path.read_text()), "pid": own.pid}))
        job = pc.jobs.Job(tmp_path / "job")
        job.stop()
        own.stdin.write(b"\n")
        own.stdin.flush()
        os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOWAIT)
        assert job.status == "Completed"
        assert own.wait() == 7


def test_a_name_that_is_taken(done):
    with pytest.raises(ParameterError, match=r"there is a job '.*' already"):
        pc.jobs.train(inputs={"training": interactions()}, name=done.name)
    assert done.status == "Completed"


def test_list_and_get(done):
    assert done.name in [job.name for job in pc.jobs.list()]
    created = [job.created for job in pc.jobs.list()]
    assert created == sorted(created, reverse=True)
    with pytest.raises(JobError, match=f"did you mean '{done.name}'"):
        pc.jobs.get(done.name + "x")
    with pytest.raises(ParameterError, match="a name must be letters"):
        pc.jobs.get("../jobs")


def test_a_lock_tells_who_lives(tmp_path):
    assert not is_running(tmp_path)
    (tmp_path / "lock").touch()
    assert not is_running(tmp_path)


def test_the_bar(done, capfd):
    done.wait()
    assert "5/5" in capfd.readouterr().err


# ---- the command line ----------------------------------------------------------------------------


def cli(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_commands(done):
    listed = cli("jobs", "list")
    assert listed.exit_code == 0
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith(done.name)]
    assert line.split()[1] == "Completed"
    assert cli("jobs", "logs", done.name).stdout == done.logs()
    assert cli("jobs", "logs", done.name, "--follow").stdout == done.logs()
    missing = cli("jobs", "logs", "nothing-like-it")
    assert missing.exit_code == 2
    assert "there is no job 'nothing-like-it'" in missing.output


def test_follow_and_stop(endless):
    command = [sys.executable, "-m", "penchant", "jobs", "logs", endless.name, "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "epoch=3;" in line:
                assert cli("jobs", "stop", endless.name).exit_code == 0
                break
        rest = process.communicate(timeout=300)[0]
    assert process.returncode == 0
    assert rest.splitlines()[-1].endswith(f"saved {endless.folder / 'model'}")
    assert endless.status == "Stopped"
