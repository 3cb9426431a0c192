"""Ctrl-C in the midst of a kernel: heard at once, and the model is as it was."""

from __future__ import annotations

import textwrap

import pytest

from model_support import run_python

# The work after the signal would take many seconds: what counts is the processor time of all
# threads, which a busy machine does not stretch.
SCRIPT = """
    import os, signal, threading, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the background ignores it
    import numpy as np, pyarrow as pa
    import penchant as pc

    def interactions(users, items):
        table = pa.table({"u": users, "i": items, "r": rng.integers(1, 6, len(users))})
        data = pc.Interactions.from_frame(table, user="u", item="i", value="r")
        data.csr(), data.sequences()
        return data

    rng = np.random.default_rng(0)
    DATA
    pressed = []

    def press():
        pressed.append(time.process_time())
        os.kill(os.getpid(), signal.SIGINT)

    class Start(pc.Callback):
        def on_fit_begin(self, model, train):
            threading.Timer(0.7, press).start()

    model = MODEL
    try:
        model.fit(data, progress=False, callbacks=[Start()])
        print("too quick")
    except KeyboardInterrupt:
        print("stopped after", time.process_time() - pressed[0])
    CHECK
"""
# A small fit before, so that there is a model to keep.
KEPT = """{model}
    epochs = model.epochs
    model.set_params(epochs=1).fit(data.select(np.arange(500)), progress=False)
    before = model.recommend(k=5).to_pylist()
    model.set_params(epochs=epochs)"""
AS_BEFORE = """
    print(len(model.history_), model.recommend(k=5).to_pylist() == before)"""
NOT_FITTED = """
    try:
        model.recommend(0, k=5)
    except pc.errors.NotFittedError:
        print("not fitted")"""
RANDOM = "data = interactions(rng.integers(0, {users}, {n}), rng.integers(0, 5_000, {n}))"


def seconds_to_stop(data: str, model: str, check: str) -> tuple[float, str]:
    code = textwrap.dedent(SCRIPT.replace("DATA", data).replace("MODEL", model))
    done = run_python(code.replace("CHECK", textwrap.dedent(check)))
    assert done.returncode == 0, done.stderr
    stopped, state = done.stdout.splitlines()
    assert stopped != "too quick", "the fit was too short for this test to mean anything"
    return float(stopped.removeprefix("stopped after ")), state


@pytest.mark.parametrize(
    ("model", "users", "n"),
    [
        ("pc.BPR(factors=1024, n_candidates=256, epochs=1000, num_threads=2)", 20_000, 1_500_000),
        ("pc.IALS(factors=1024, solver='cholesky', epochs=9, num_threads=2)", 60_000, 1_500_000),
        (
            "pc.Prod2Vec(vector_size=128, window=200, negative=20, min_count=1, num_threads=2)",
            5_000,
            1_000_000,
        ),
    ],
    ids=["BPR", "IALS", "Prod2Vec"],
)
def test_an_epoch_stops_and_the_model_is_as_it_was(model, users, n):
    data = RANDOM.format(users=users, n=n)
    seconds, state = seconds_to_stop(data, KEPT.format(model=model), AS_BEFORE)
    assert state == "1 True"
    assert seconds < 2  # a second of two threads


@pytest.mark.parametrize(
    ("users", "items", "length"),
    # Long histories make the Gram matrix slow, many items the inverse.
    [(8000, 2000, 1500), (3000, 10_000, 5)],
    ids=["gram", "inverse"],
)
def test_a_fit_in_one_step_stops_and_the_model_stays_unfitted(users, items, length):
    data = (
        f"data = interactions(np.repeat(np.arange({users}), {length}), "
        f"rng.integers(0, {items}, {users * length}))"
    )
    seconds, state = seconds_to_stop(data, "pc.EASE(num_threads=1)", NOT_FITTED)
    assert state == "not fitted"
    assert seconds < 1
