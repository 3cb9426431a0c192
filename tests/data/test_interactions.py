from __future__ import annotations

import copy
import datetime as dt
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from frames_of import KINDS, kind_of, make_frame, to_columns
from penchant.data import Interactions, _limits
from penchant.errors import ColumnError, DataError, ParameterError, PenchantWarning

DAYS = [dt.datetime(2011, 1, day) for day in (5, 1, 3, 2, 4)]
ROWS: dict[str, list[Any]] = {
    "customer": [12, 12, 7, 12, 7],
    "product": ["MUG", "TRAY", "MUG", "MUG", "BOWL"],
    "amount": [3, 1, 2, 5, 4],
    "day": DAYS,
    "visit": ["v2", "v1", "v1", "v1", "v3"],
    "line": [1, 2, 3, 4, 5],
    "shop": ["N", "S", None, "N", "S"],
}
ALL = {
    "user": "customer", "item": "product", "value": "amount", "timestamp": "day",
    "session": "visit", "order": "line", "context": ["shop"],
}  # fmt: skip


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pairs_of(data: Interactions) -> list[tuple[Any, Any]]:
    frame = to_columns(data.to_frame())
    return list(zip(frame[data.columns.user], frame[data.columns.item], strict=True))


def test_events_are_numbered_and_typed(kind: str) -> None:
    data = Interactions.from_frame(make_frame(kind, ROWS), **ALL)
    assert (len(data), data.n_users, data.n_items) == (5, 2, 3)
    assert data.users.to_list() == [7, 12]
    assert data.items.to_list() == ["BOWL", "MUG", "TRAY"]
    assert data.sessions is not None
    assert data.sessions.to_list() == ["v1", "v2", "v3"]
    assert {field.name: str(field.type) for field in data.events.schema} == {
        "user": "int32", "item": "int32", "value": "double", "timestamp": "int64",
        "session": "int32", "order": "int64",
        "context:shop": str(data.events.schema.field("context:shop").type),
    }  # fmt: skip
    assert data.array("user").tolist() == [1, 1, 0, 1, 0]
    assert data.array("item").tolist() == [1, 2, 1, 1, 0]
    assert data.array("timestamp")[1] == DAYS[1].replace(tzinfo=dt.timezone.utc).timestamp() * 1e6
    assert data.backend == kind
    assert data.columns.value == "amount"
    assert data.dropped == {}


def test_to_frame_gives_the_callers_frame_back(kind: str) -> None:
    frame = make_frame(kind, ROWS)
    back = Interactions.from_frame(frame, **ALL).to_frame()
    assert kind_of(back) == kind
    expected = to_columns(frame)
    found = to_columns(back)
    assert list(found) == ["customer", "product", "amount", "day", "visit", "line", "shop"]
    for name in found:
        assert [None if pd.isna(v) else v for v in found[name]] == [
            None if pd.isna(v) else v for v in expected[name]
        ]
    if kind == "pandas":
        for name in ("customer", "product", "amount", "line"):
            assert back[name].dtype == frame[name].dtype
    if kind == "polars":
        assert back.schema == frame.select(back.columns).schema


def test_integers_that_became_floats_come_back_as_integers() -> None:
    frame = pd.DataFrame({"customer": [17850.0, None, 12583.0], "product": ["a", "b", "c"]})
    with pytest.warns(PenchantWarning, match="dropped 1 of 3 rows without customer"):
        data = Interactions.from_frame(frame, user="customer", item="product")
    assert data.users.to_list() == [12583, 17850]
    assert data.to_frame()["customer"].dtype == np.int64
    assert "17850.0" not in repr(data.users)


def test_the_callers_frame_is_not_changed(kind: str) -> None:
    frame = make_frame(kind, ROWS)
    before = copy.deepcopy(frame)
    data = Interactions.from_frame(frame, duplicates="sum", negative_values="net", **ALL)
    data.csr("sum")
    data.select([0])
    assert frame.equals(before)


def test_csr_reduces_repeats() -> None:
    data = Interactions.from_frame(pd.DataFrame(ROWS), **ALL)
    for reduce, values in {
        "distinct": [1, 1, 1, 1], "count": [1, 1, 2, 1], "sum": [4, 2, 8, 1], "last": [4, 2, 3, 1],
    }.items():  # fmt: skip
        csr = data.csr(reduce)
        assert csr.indptr.tolist() == [0, 2, 4]
        assert csr.indices.tolist() == [0, 1, 1, 2]
        assert [array.dtype for array in csr] == [np.int64, np.int32, np.float32]
        assert csr[2].tolist() == values
        assert data.csr(reduce) is csr
        with pytest.raises(ValueError, match="read-only"):
            csr[2][0] = 9
    with pytest.raises(ParameterError, match="reduce='mean'"):
        data.csr("mean")


def test_csr_agrees_with_a_naive_count() -> None:
    rng = np.random.RandomState(5)
    frame = pd.DataFrame({"u": rng.randint(0, 33, 400), "i": rng.randint(0, 17, 400),
                          "v": rng.randint(1, 9, 400)})  # fmt: skip
    data = Interactions.from_frame(frame, user="u", item="i", value="v")
    expected = frame.pivot_table(index="u", columns="i", values="v", aggfunc="sum", fill_value=0)
    assert np.array_equal(data.to_csr("sum").toarray(), expected.to_numpy())
    count = Interactions.from_frame(frame, user="u", item="i")
    expected = frame.pivot_table(index="u", columns="i", values="v", aggfunc="count", fill_value=0)
    assert np.array_equal(count.to_csr("sum").toarray(), expected.to_numpy())
    assert np.array_equal(count.to_csr("last").toarray(), expected.to_numpy() > 0)


def test_rows_and_offsets_are_64_bit() -> None:
    data = Interactions.from_frame(pd.DataFrame(ROWS), user="customer", item="product")
    assert data.csr().indptr.dtype == np.int64
    assert data.chronological() is None


def test_more_rows_than_memory_are_refused_before_any_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    column = pa.chunked_array([pa.array(np.zeros(2**20, np.int8))] * 2**11)  # 2**31 rows, 1 MiB
    frame = pa.table({"u": column, "i": column})
    monkeypatch.setattr(_limits, "memory_limit", lambda: 16 * 2**30)
    with pytest.raises(
        DataError, match=r"2,147,483,648 rows need about 96\.0 GiB .* has 16\.0 GiB"
    ):
        Interactions.from_frame(frame, user="u", item="i")


def test_the_memory_limit_is_that_of_this_machine() -> None:
    assert 2**28 < _limits.memory_limit() < 2**50


def test_one_user_and_one_item_are_fine() -> None:
    data = Interactions.from_frame(pd.DataFrame({"u": ["x"], "i": [5]}), user="u", item="i")
    assert (len(data), data.n_users, data.n_items) == (1, 1, 1)
    assert data.csr().indptr.tolist() == [0, 1]
    assert repr(data) == "Interactions(1 event, 1 user 'u', 1 item 'i')"


@pytest.mark.parametrize("part", ["user", "item", "value", "timestamp", "session", "order"])
def test_a_missing_column_is_named(kind: str, part: str) -> None:
    with pytest.raises(ColumnError, match="column 'custmer' is missing, did you mean 'customer'"):
        Interactions.from_frame(make_frame(kind, ROWS), **{**ALL, part: "custmer"})


def test_roles_are_checked() -> None:
    frame = pd.DataFrame(ROWS)
    with pytest.raises(ParameterError, match="'customer' is named as both user and item"):
        Interactions.from_frame(frame, user="customer", item="customer")
    with pytest.raises(ParameterError, match="item= must be the name of a column"):
        Interactions.from_frame(frame, user="customer", item=None)  # type: ignore[arg-type]
    for name, value in {"duplicates": "first", "negative_values": "abs"}.items():
        with pytest.raises(ParameterError, match=f"{name}='{value}' is not one of"):
            Interactions.from_frame(frame, user="customer", item="product", **{name: value})  # type: ignore[arg-type]


def test_select_compacts_ids_and_keeps_the_rest() -> None:
    data = Interactions.from_frame(pd.DataFrame(ROWS), **ALL)
    some = data.select([2, 4])
    assert some.users.to_list() == [7]
    assert some.items.to_list() == ["BOWL", "MUG"]
    assert some.sessions is not None
    assert some.sessions.to_list() == ["v1", "v3"]
    assert some.to_frame().equals(data.to_frame().iloc[[2, 4]].reset_index(drop=True))
    assert (
        data.select(np.array([False, False, True, False, True])).to_frame().equals(some.to_frame())
    )
    assert data.select(pd.Series(ROWS["customer"]) == 7).to_frame().equals(some.to_frame())
    assert len(data) == 5


@pytest.mark.parametrize(
    ("rows", "error", "match"),
    [
        ([], DataError, "no events are selected"),
        (np.zeros(5, bool), DataError, "no events are selected"),
        ([True], ParameterError, r"mask has shape \(1,\); .* 5 events"),
        ([5], ParameterError, "from 0 to 4"),
        ([-1], ParameterError, "from 0 to 4"),
        ([0.5], ParameterError, "not float64"),
        ([[0, 1]], ParameterError, "mask or row numbers"),
    ],
)
def test_select_checks_its_rows(rows: Any, error: type[Exception], match: str) -> None:
    data = Interactions.from_frame(pd.DataFrame(ROWS), **ALL)
    with pytest.raises(error, match=match):
        data.select(rows)


def test_array_names_the_parts_there_are() -> None:
    data = Interactions.from_frame(pd.DataFrame(ROWS), user="customer", item="product")
    with pytest.raises(ParameterError, match="no 'timestamp' column, only 'user', 'item'"):
        data.array("timestamp")


def test_repr_describe_and_html(kind: str) -> None:
    rows = {**ROWS, "customer": [12, None, 7, 12, 7]}
    with pytest.warns(PenchantWarning):
        data = Interactions.from_frame(make_frame(kind, rows), **ALL)
    assert repr(data) == (
        "Interactions(4 events, 2 users 'customer', 2 items 'product'; value 'amount', timestamp "
        "'day', session 'visit', order 'line', context 'shop'; dropped 1 row without customer)"
    )
    facts = data.describe()
    assert kind_of(facts) == kind
    shown = dict(zip(*to_columns(facts).values(), strict=True))
    assert shown["events"] == "4"
    assert shown["distinct pairs"] == "3"
    assert shown["repeated events"] == "25.0%"
    assert shown["density"] == "75.000%"
    assert shown["value (amount)"] == "2 to 5, mean 3.5"
    assert shown["time (day)"] == "2011-01-02 to 2011-01-05"
    assert shown["sessions (visit)"] == "3"
    assert shown["dropped: row without customer"] == "1"
    assert "<td style='text-align:right'>75.000%</td>" in data._repr_html_()


def test_html_escapes_column_names() -> None:
    data = Interactions.from_frame(pd.DataFrame({"<u>": [1], "i": [2]}), user="<u>", item="i")
    assert "<u>" not in data._repr_html_()
    assert "&lt;u&gt;" in data._repr_html_()


def test_pickling_keeps_everything() -> None:
    data = Interactions.from_frame(pd.DataFrame(ROWS), **ALL)
    again = pickle.loads(pickle.dumps(data))
    assert again.to_frame().equals(data.to_frame())
    assert again.users == data.users
    assert repr(again) == repr(data)


def test_importing_the_data_package_is_light() -> None:
    code = (
        "import sys, penchant.data; "
        "heavy = {'pandas', 'narwhals', 'polars', 'scipy', 'pyarrow.compute', 'pyarrow.parquet'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_results_come_as_the_frame_asked_for():
    frame = pd.DataFrame({"who": [1, 2], "what": ["a", "b"]})
    data = Interactions.from_frame(frame, user="who", item="what", backend="pyarrow")
    assert isinstance(data.to_frame(), pa.Table)
    with pytest.raises(ParameterError, match=r"backend='pandsa'.*did you mean 'pandas'"):
        Interactions.from_frame(frame, user="who", item="what", backend="pandsa")
