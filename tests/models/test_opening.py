"""A model that is opened answers at once; what was made for it is written meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout  # the built-in one from 3.11 on

import pytest

import penchant as pc
from model_support import assert_same_answers, interactions
from penchant.errors import ArtifactError
from penchant.models.prepared import open_served
from penchant.storage.derived import DerivedFiles
from prepared_support import KINDS, is_mapped, prepared, repr_of_maps

pytestmark = pytest.mark.usefixtures("own_home")


class SlowDisk:
    """Files are written only from a certain moment on.

    Attributes
    ----------
    ready : threading.Event
        That moment.
    stored : list of str
        What was written.
    """

    def __init__(self, monkeypatch):
        self.ready = threading.Event()
        self.stored = []
        put = DerivedFiles.put

        def slow_put(files, name, array):
            assert self.ready.wait(60)
            self.stored.append(name)
            return put(files, name, array)

        monkeypatch.setattr(DerivedFiles, "put", slow_put)

    def work(self):
        """Let the files be written, and wait for it."""
        self.ready.set()
        for thread in threading.enumerate():
            if thread.name == "penchant-open":
                thread.join(60)
                assert not thread.is_alive()


@pytest.fixture
def disk(monkeypatch):
    slow = SlowDisk(monkeypatch)
    yield slow
    slow.work()


def test_it_answers_while_what_was_made_is_written(model, tmp_path, disk):
    model.save(tmp_path)
    opened = open_served(tmp_path, wait=False)
    assert_same_answers(model, opened)
    assert prepared(tmp_path) == []
    disk.work()
    assert len(prepared(tmp_path)) == len(disk.stored) > 0
    assert_same_answers(model, opened)
    assert_same_answers(model, open_served(tmp_path, wait=False))


def test_no_question_waits_for_the_disk(bpr, tmp_path, disk):
    """What only some need is made with their first question, also while files are written."""
    bpr.save(tmp_path)
    opened = open_served(tmp_path, wait=False)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(opened.similar_items, "item 00", k=3)
        assert asked.result(timeout=60).equals(bpr.similar_items("item 00", k=3))
    assert disk.stored == []
    disk.work()
    assert set(KINDS) < set(disk.stored)  # and is written after the others
    assert opened.similar_items("item 00", k=3).equals(bpr.similar_items("item 00", k=3))


def test_what_is_mapped_takes_the_place_of_what_was_made(bpr, tmp_path, disk):
    bpr.save(tmp_path)
    opened = open_served(tmp_path, wait=False)
    assert not is_mapped(opened._index())
    disk.work()
    assert is_mapped(opened._index())
    assert is_mapped(opened._popularity())


def test_factors_and_graphs_move_to_mapped_memory_too(tmp_path, disk):
    pytest.importorskip("usearch")
    model = pc.SVD(factors=4, epochs=2).fit(interactions(), progress=False)
    model.build_index()
    model.save(tmp_path)
    opened = open_served(tmp_path, wait=False)
    disk.work()
    for array in opened._factors()[:2]:
        assert "mmap" in repr_of_maps(array.ctypes.data)
    assert is_mapped(opened._searcher(None).topk)
    assert_same_answers(model, opened)


def test_others_wait_for_what_is_being_written(bpr, tmp_path, disk):
    bpr.save(tmp_path)
    open_served(tmp_path, wait=False)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(open_served, tmp_path, wait=False)
        with pytest.raises(FutureTimeout):
            second.result(timeout=0.2)
        disk.ready.set()
        assert is_mapped(second.result(timeout=60)._index())
    assert sorted(disk.stored) == list(KINDS)  # once


def test_a_model_may_change_before_its_files_are_written(bpr, tmp_path, disk):
    bpr.save(tmp_path)
    opened = open_served(tmp_path, wait=False)
    more = pc.Interactions.from_sequences([["item 00", "new"], ["item 02"]], users=[1000, 7])
    opened.partial_fit(more)
    disk.work()
    assert_same_answers(bpr.partial_fit(more), opened)


@pytest.mark.parametrize("wait", [True, False])
def test_of_a_damaged_artifact_nothing_is_written(bpr, tmp_path, wait):
    bpr.save(tmp_path)
    (file,) = tmp_path.glob("item_factors.*.safetensors")
    content = bytearray(file.read_bytes())
    content[-2] ^= 1  # still a number
    file.write_bytes(content)
    for _ in range(2):
        with pytest.raises(ArtifactError, match="SHA-256"):
            open_served(tmp_path, wait=wait)
    assert prepared(tmp_path) == []
