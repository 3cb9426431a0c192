"""Tasks as the record has them: encoded in slices, as they would be at once."""

import numpy as np
import pytest

import penchant as pc
from penchant.errors import PenchantError
from penchant.serving import Requests, Service, task_replies
from penchant.serving.encode import to_json_lines
from penchant.serving.task_replies import memory_of, replies_of
from penchant.serving.tasks import Predict, Recommend, Similar

ABOUT = b'"model": "shop"'


@pytest.fixture(scope="module")
def service():
    rng = np.random.default_rng(5)
    baskets = [[f'tea "{item}"' for item in rng.integers(0, 40, 9)] for _ in range(30)]
    return Service(pc.BPR(factors=8, epochs=2).fit(pc.Interactions.from_sequences(baskets)))


TASKS = {
    "recommend": Recommend(Requests.of([(str(user), 1 + user % 7) for user in range(25)])),
    "similar": Similar([f'tea "{item}"' for item in range(30, 50)], np.arange(1, 21), True),
    "predict": Predict([str(user) for user in range(35)], ['tea "3"'] * 35),
}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(("questions", "rows"), [(3, 1000), (1000, 8), (1000, 1)])
def test_slices_are_what_the_whole_is(service, monkeypatch, name, questions, rows):
    task = TASKS[name]
    records = service.perform(task)
    unknown = np.arange(len(task)) % 4 == 2 if name == "recommend" else None
    whole = list(replies_of(task, records, unknown, ABOUT))
    assert len(whole) == len(task)
    sizes = []

    def counted(part, *given, **named):
        sizes.append((len(part.users.text), len(part), len(part.items.text)))
        return to_json_lines(part, *given, **named)

    monkeypatch.setattr(task_replies, "to_json_lines", counted)
    monkeypatch.setattr(task_replies, "_QUESTIONS", questions)
    monkeypatch.setattr(task_replies, "_ROWS", rows)
    assert list(replies_of(task, records, unknown, ABOUT)) == whole
    if name != "predict":
        most = min(questions, max(1, rows * len(task) // len(records)))
        assert len(sizes) == -(-len(task) // most)
        assert max(users for users, _, _ in sizes) == most
        assert all(items == n for _, n, items in sizes)


@pytest.mark.parametrize("name", TASKS)
def test_memory_grows_with_the_answer(service, name):
    task = TASKS[name]
    records = service.perform(task)
    texts = sum(map(len, records.users.text.to_pylist() + records.items.text.to_pylist()))
    assert memory_of(task, records) >= 20 * len(records) + texts + 100 * len(task)
    assert memory_of(task, PenchantError("no")) >= 100 * len(task)
