"""Models whose index lies in files answer as from memory, whatever becomes of the files."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

import penchant as pc
from model_support import assert_same_answers, interactions
from penchant.config import read_config
from penchant.errors import ArtifactError
from penchant.models.prepared import open_served
from penchant.storage.artifact import map_artifact
from penchant.storage.derived import DerivedFiles
from prepared_support import KINDS, MODELS, is_mapped, prepared, repr_of_maps

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.mark.parametrize("again", [open_served, lambda path: pc.load(path, prepared=True)])
def test_every_model_answers_the_same(model, tmp_path, again):
    model.save(tmp_path / "a")
    for _ in range(2):  # makes the files; maps them
        opened = again(tmp_path / "a")
        assert_same_answers(model, opened)
    files = prepared(tmp_path / "a")
    assert_same_answers(model, again(tmp_path / "a"))
    assert prepared(tmp_path / "a") == files
    assert_same_answers(model, pc.load(tmp_path / "a"))


def test_the_index_is_mapped_from_the_file(bpr, tmp_path):
    bpr.save(tmp_path)
    for _ in range(2):
        opened = open_served(tmp_path)
        assert is_mapped(opened._index())
        assert is_mapped(opened._popularity())
    assert not is_mapped(pc.load(tmp_path)._index())
    assert [name.split(".")[0] for name in prepared(tmp_path)] == list(KINDS)


def test_no_start_but_the_first_looks_at_all_users(tmp_path):
    model = pc.IALS(factors=4, epochs=2).fit(interactions(), progress=False)
    model.save(tmp_path)
    open_served(tmp_path)
    assert [name.split(".")[0] for name in prepared(tmp_path)] == [*KINDS, "typical"]
    opened = open_served(tmp_path)
    assert opened._derived["typical"] == model._typical_length() > 0
    assert_same_answers(model, opened)


def test_what_some_answers_need_is_made_with_the_first_of_them(bpr, tmp_path):
    bpr.save(tmp_path)
    for _ in range(2):
        opened = open_served(tmp_path)
        opened.similar_items(k=2)
        opened.similar_users(k=2)
        opened.recommend_users(k=2)
        assert is_mapped(opened._derived["similar_items"])
    found = [name.split(".")[0] for name in prepared(tmp_path)]
    assert found == ["popularity", "similar_items", "similar_users", "topk", "users"]


def test_factors_that_are_made_from_the_weights_are_mapped_too(tmp_path):
    model = pc.SVD(factors=4, epochs=2).fit(interactions(), progress=False)
    model.save(tmp_path)
    for _ in range(2):
        factors = open_served(tmp_path)._factors()
        for array in (factors.users, factors.items):
            assert "mmap" in repr_of_maps(array.ctypes.data)
    # One of the two is not enough.
    (users,) = tmp_path.glob("factor_users.*")
    users.unlink()
    assert_same_answers(model, open_served(tmp_path))


def test_a_model_inside_another_one_has_files_of_its_own(tmp_path):
    model = MODELS["Pipeline"].fit(interactions(), progress=False)
    model.save(tmp_path)
    open_served(tmp_path)
    found = {name.split(".")[0] for name in prepared(tmp_path)}
    assert {"retrieve_topk", "rank_topk"} <= found
    opened = open_served(tmp_path)
    assert is_mapped(opened.retrieve_._index())
    assert is_mapped(opened.rank_._index())


@pytest.mark.parametrize("how", ["empty", "short", "noise", "another", "gone"])
def test_damaged_files_are_made_again(bpr, tmp_path, how):
    bpr.save(tmp_path / "a")
    open_served(tmp_path / "a")
    other = pc.BPR(factors=5, epochs=3, random_state=8).fit(interactions(), progress=False)
    other.save(tmp_path / "b")
    open_served(tmp_path / "b")
    (file,) = (tmp_path / "a").glob("topk.*")
    (another,) = (tmp_path / "b").glob("topk.*")
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        damaged = {
            "empty": b"",
            "short": content[:-1],
            "noise": content[:-64] + os.urandom(64),
            "another": another.read_bytes(),
        }
        file.write_bytes(damaged[how])
    assert_same_answers(bpr, open_served(tmp_path / "a"))
    assert file.read_bytes() == content
    assert is_mapped(open_served(tmp_path / "a")._index())


def test_a_file_of_ours_that_is_no_index_is_left_alone(bpr, tmp_path):
    bpr.save(tmp_path)
    files = DerivedFiles(map_artifact(tmp_path, verify="size"), read_config().isa)
    files.put("topk", np.zeros(5000, np.uint8))
    files.put("popularity", np.zeros(5000, np.float32))
    opened = open_served(tmp_path)
    assert_same_answers(bpr, opened)
    assert not is_mapped(opened._index())


def test_a_new_version_has_new_files(bpr, tmp_path):
    bpr.save(tmp_path)
    old = open_served(tmp_path)
    other = pc.BPR(factors=5, epochs=3, random_state=8).fit(interactions(), progress=False)
    other.save(tmp_path)
    assert_same_answers(bpr, old)
    assert_same_answers(other, open_served(tmp_path))
    assert_same_answers(bpr, old)
    assert len(prepared(tmp_path)) == 2


def test_what_changes_a_model_leaves_the_files_behind(bpr, tmp_path):
    bpr.save(tmp_path)
    opened = open_served(tmp_path)
    more = pc.Interactions.from_sequences([["item 00", "new"], ["item 02"]], users=[1000, 7])
    grown = bpr.partial_fit(more)
    assert_same_answers(grown, opened.partial_fit(more))
    opened.recommend(k=3)
    opened.similar_items(k=3)
    assert_same_answers(pc.load(tmp_path), open_served(tmp_path))
    opened = open_served(tmp_path)
    opened.fit(interactions(), progress=False)
    assert not is_mapped(opened._index())
    assert_same_answers(open_served(tmp_path), pickle.loads(pickle.dumps(open_served(tmp_path))))


def test_parameters_that_change_the_index_leave_the_files_behind(tmp_path):
    model = MODELS["Prod2Vec"].fit(interactions(), progress=False)
    model.save(tmp_path)
    opened = open_served(tmp_path)
    opened.set_params(popularity_weight=2.0)
    model.set_params(popularity_weight=2.0)
    assert_same_answers(model, opened)
    model.set_params(popularity_weight=0.5)
    assert_same_answers(model, open_served(tmp_path))


def test_an_approximate_index_goes_by_the_prepared_one(tmp_path):
    pytest.importorskip("usearch")
    model = pc.IALS(factors=4, epochs=2).fit(interactions(), progress=False)
    model.build_index()
    model.save(tmp_path)
    for _ in range(2):
        opened = open_served(tmp_path)
        assert_same_answers(model, opened)
        assert is_mapped(opened._index())


def test_checks_are_left_out_for_the_very_files_that_passed_them(bpr, tmp_path):
    bpr.save(tmp_path)
    open_served(tmp_path)
    (file,) = tmp_path.glob("item_factors.*.safetensors")
    content = bytearray(file.read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="SHA-256"):
        open_served(tmp_path)
    with pytest.raises(ArtifactError):
        open_served(tmp_path)


def test_what_is_unsound_is_refused_each_time(bpr, tmp_path):
    bpr.item_factors_[0, 0] = np.nan  # saved with checksums that are right
    bpr.save(tmp_path)
    for _ in range(3):
        with pytest.raises(ArtifactError, match="NaN"):
            open_served(tmp_path)
    assert prepared(tmp_path) == []


def answer(path, results):
    opened = open_served(path)
    results.put((opened.recommend_codes(k=5)[0].tolist(), is_mapped(opened._index())))


def test_processes_that_start_together_share_the_files(bpr, tmp_path):
    bpr.save(tmp_path)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=answer, args=(tmp_path, results)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    rows, _ = bpr.recommend_codes(k=5)
    assert found == [(rows.tolist(), True)] * 3
    assert len(prepared(tmp_path)) == 2


def test_another_instruction_set_has_files_of_its_own(bpr, tmp_path):
    bpr.save(tmp_path)
    open_served(tmp_path)
    code = (
        "import sys\nfrom penchant.models.prepared import open_served\n"
        "print(open_served(sys.argv[1]).recommend(k=3).to_csv())"
    )
    environment = {**os.environ, "PENCHANT_ISA": "baseline"}
    done = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    assert done[0] == done[1]
    assert len(prepared(tmp_path)) == (2 if read_config().isa == "baseline" else 4)
    assert_same_answers(bpr, open_served(tmp_path))


# Early releases of pyarrow import pandas in more places, and cannot be kept from it.
OLD_PYARROW = int(pa.__version__.partition(".")[0]) < 18


def test_a_server_can_leave_pandas_out(bpr, tmp_path):
    bpr.save(tmp_path)
    code = (
        "import sys\nfrom penchant.data.arrow import leave_pandas_out\n"
        "leave_pandas_out()\n"
        "from penchant.models.prepared import open_served\n"
        "from penchant.serving import Requests, Service, to_json\n"
        "service = Service(open_served(sys.argv[1]))\n"
        'print(to_json(service.answer(Requests.of([("1000", 10)]))))\n'
        f"assert {OLD_PYARROW} or 'pandas' not in sys.modules\n"
        "frame = service.model.recommend(k=3)\n"
        "assert type(frame).__module__.startswith('pandas')\n"
        "print(frame.to_csv())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert done.stdout.endswith(bpr.recommend(k=3).to_csv() + "\n")
