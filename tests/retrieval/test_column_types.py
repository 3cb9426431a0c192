"""Columns of every Arrow type: filters, re-rankers and the rest work on them, or say why not."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import penchant as pc
from penchant.data.frames import from_arrow
from penchant.errors import DataError, PenchantError
from penchant.models.ranking_features import choose_columns, encode

ITEMS, USERS = ["w", "x", "y", "z"], ["a", "b", "c", "d"]
OFFSETS = pa.array([0, 1, 2, 3, 4], pa.int32())
MOMENT = dt.datetime(2020, 1, 1)
WORKS = ("filter", "cap", "mmr", "popular_within", "stand-ins")


def model_of(column: Any) -> Any:
    events = pa.table({"user": list("aabbccd"), "item": list("wxwywzx")})
    return pc.Popularity().fit(
        pc.Interactions.from_frame(
            events,
            user="user",
            item="item",
            item_features=pa.table({"item": ITEMS, "kind": column}),
            user_features=pa.table({"user": USERS, "kind": column}),
        )
    )


def questions(column: Any, literal: str) -> dict[str, Callable[[Any], Any]]:
    """Return what may be asked about a column of a model's tables, by name."""
    all_items = {"k": 4, "exclude_seen": False}
    strangers = pa.table({"user": ["p", "q"], "kind": column.slice(0, 2)})
    history = pa.table({"user": ["p", "q"], "item": ["r", "s"], "kind": column.slice(0, 2)})
    wanted = {"popular_within": "kind", "unknown": "popular", "k": 4}
    cap = pc.rerank.AttributeCap("kind", at_most=1)
    asked: dict[str, Callable[[Any], Any]] = {
        "filter": lambda model: model.recommend("d", where=f"kind in [{literal}]", **all_items),
        "with_columns": lambda model: model.recommend("d", with_columns=["kind"], **all_items),
        "cap": lambda model: model.recommend("d", rerank=[cap], **all_items),
        "mmr": lambda model: model.recommend("d", rerank=[pc.rerank.MMR(by=["kind"])], **all_items),
        "popular_within": lambda model: model.recommend(strangers, **wanted),
        "stand-ins": lambda model: model.recommend(history=history, **wanted),
        "features": lambda model: encode(
            model.item_features_, choose_columns(model.item_features_, ["kind"], "item", "item"), 4
        ),
    }
    for operator in ("=", "!=", "<", ">="):
        where = f"kind {operator} {literal}"
        asked[where] = lambda model, where=where: model.recommend("d", where=where, **all_items)
    return asked


def answer(model: Any, ask: Callable[[Any], Any]) -> Any:
    """Return what is answered as Python values, or the message of penchant's own error."""
    try:
        found = ask(model)
    except PenchantError as error:
        return str(error)
    rows = found.tolist() if isinstance(found, np.ndarray) else found.to_pylist()
    return repr(rows)


def texts() -> Iterator[Any]:
    """Give the same texts as columns of several types; the first is the plainest."""
    plain = pa.array(["mug", "cup|mug", "mug", None])
    yield plain
    for kind in (pa.large_string(), pa.string_view()):
        yield plain.cast(kind)
        words = pa.array(["mug", "cup|mug"], kind)
        yield pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, None], pa.int8()), words)
    yield pa.RunEndEncodedArray.from_arrays([1, 2, 3, 4], plain)


def numbers() -> Iterator[Any]:
    """Give the same numbers as columns of several types."""
    yield pa.array([1.0, 2.0, 1.0, None])
    for kind in (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32()):
        yield pa.array([1, 2, 1, None], kind)
    yield from (pa.array([1, 2, 1, None], kind) for kind in (pa.int64(), pa.uint64()))
    yield pa.array([1.0, 2.0, 1.0, None], pa.float32())
    halves = np.array([1, 2, 1, 0], np.float16)
    yield pa.array(halves, mask=np.array([False, False, False, True]))
    decimals = [pa.decimal32(5, 1), pa.decimal64(5, 1), pa.decimal128(5, 1), pa.decimal256(5, 1)]
    for kind in decimals:
        yield pa.array([Decimal("1.0"), Decimal("2.0"), Decimal("1.0"), None], kind)


def lists(columns: Iterator[Any]) -> Iterator[Any]:
    """Give columns of lists of one value each."""
    for column in columns:
        if pa.types.is_run_end_encoded(column.type):
            continue
        yield pa.ListArray.from_arrays(OFFSETS, column)
        yield pa.LargeListArray.from_arrays(OFFSETS.cast(pa.int64()), column)
        yield pa.FixedSizeListArray.from_arrays(column, 1)
        ones = pa.array([1, 1, 1, 1], pa.int32())
        yield pa.ListViewArray.from_arrays(OFFSETS.slice(0, 4), ones, column)


def others() -> Iterator[tuple[Any, str]]:
    """Give columns whose values are neither texts nor numbers, and a literal of an expression."""
    yield pa.array([True, False, True, None]), "true"
    raw = pa.array([b"a" * 16, b"b" * 16, b"a" * 16, None])
    for kind in (pa.binary(), pa.large_binary(), pa.binary(16), pa.binary_view()):
        yield raw.cast(kind), "'a'"
    days = [MOMENT.date()] * 3 + [None]
    yield from ((pa.array(days, kind), "'2020-01-01'") for kind in (pa.date32(), pa.date64()))
    stamps = [pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")]
    for kind in (*stamps, pa.timestamp("us", "Europe/Oslo")):
        yield pa.array([MOMENT] * 3 + [None], kind), "'2020-01-01'"
    for kind in (pa.time32("s"), pa.time64("us")):
        yield pa.array([MOMENT.time()] * 3 + [None], kind), "1"
    yield pa.array([dt.timedelta(1)] * 3 + [None], pa.duration("s")), "1"
    yield pa.array([pa.MonthDayNano([1, 2, 3])] * 4), "1"
    yield pa.nulls(4), "1"
    yield pa.array([{"a": 1}] * 3 + [None]), "1"
    yield pa.array([[("a", 1)]] * 3 + [None], pa.map_(pa.string(), pa.int64())), "1"
    kinds = pa.array([0, 0, 0, 0], pa.int8())
    yield pa.UnionArray.from_sparse(kinds, [pa.array([1, 2, 1, None])]), "1"
    for kind, storage in (
        (pa.uuid(), raw.cast(pa.binary(16))),
        (pa.json_(), pa.array(["1", "2", "1", None])),
        (pa.bool8(), pa.array([1, 0, 1, None], pa.int8())),
    ):
        yield pa.ExtensionArray.from_storage(kind, storage), "'1'"


def name(value: Any) -> str | None:
    return str(value.type) if isinstance(value, pa.Array) else None


@pytest.mark.parametrize("column", list(texts()), ids=name)
def test_texts_of_every_type_answer_alike(column: Any) -> None:
    plain = next(texts())
    expected = {key: answer(model_of(plain), ask) for key, ask in questions(plain, "'cup'").items()}
    assert all(found.startswith("[") for found in expected.values())
    model = model_of(column)
    assert {k: answer(model, ask) for k, ask in questions(column, "'cup'").items()} == expected


@pytest.mark.parametrize("column", list(numbers()), ids=name)
def test_numbers_of_every_type_answer_alike(column: Any) -> None:
    plain = next(numbers())
    expected = {key: answer(model_of(plain), ask) for key, ask in questions(plain, "2").items()}
    assert all(found.startswith("[") for found in expected.values())
    found = {key: answer(model_of(column), ask) for key, ask in questions(column, "2").items()}
    for numbers_as in ("Decimal('{}.0')", "{}"):
        for number in (1, 2):
            old = f"'kind': {numbers_as.format(number)}"
            found["with_columns"] = found["with_columns"].replace(old + ",", f"'kind': {number}.0,")
            found["with_columns"] = found["with_columns"].replace(
                old + "}", f"'kind': {number}.0}}"
            )
    assert found == expected


@pytest.mark.parametrize("column", list(lists(numbers())), ids=name)
def test_lists_of_numbers_of_every_type_answer_alike(column: Any) -> None:
    check_lists(column, next(lists(numbers())), "2")


@pytest.mark.parametrize("column", list(lists(texts())), ids=name)
def test_lists_of_texts_of_every_type_answer_alike(column: Any) -> None:
    check_lists(column, next(lists(texts())), "'mug'")


def check_lists(column: Any, plain: Any, literal: str) -> None:
    found, expected = model_of(column), model_of(plain)
    asked, asked_before = questions(column, literal), questions(plain, literal)
    for key in (*WORKS, f"kind = {literal}", f"kind != {literal}"):
        wanted = answer(expected, asked_before[key])
        assert wanted.startswith("["), wanted
        assert answer(found, asked[key]) == wanted, key


@pytest.mark.parametrize(("column", "literal"), list(others()), ids=name)
@pytest.mark.parametrize("listed", [False, True])
def test_any_other_type_works_or_says_why_not_before_and_after_saving(
    column: Any, literal: str, listed: bool, tmp_path: Any
) -> None:
    if listed:
        column = pa.ListArray.from_arrays(OFFSETS, column)
    model = model_of(column)
    found = {key: answer(model, ask) for key, ask in questions(column, literal).items()}
    model.save(tmp_path / "model")
    again = pc.load(tmp_path / "model")
    assert {k: answer(again, ask) for k, ask in questions(column, literal).items()} == found


def test_a_table_keeps_the_types_of_its_columns() -> None:
    halves = pa.array(np.array([1, 2, 1, 0], np.float16))
    for column in (halves, pa.array(["mug", "cup", "mug", None]).dictionary_encode()):
        found = model_of(column).recommend("d", with_columns=["kind"])
        assert found["kind"].type == column.type


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_a_column_that_a_frame_cannot_hold_is_named(backend: str) -> None:
    kinds = pa.array([0, 0, 0, 0], pa.int8())
    table = pa.table({"item": ITEMS, "kind": pa.UnionArray.from_sparse(kinds, [pa.array([1] * 4)])})
    events = from_arrow(pa.table({"user": USERS, "item": ITEMS}), backend)
    data = pc.Interactions.from_frame(events, user="user", item="item", item_features=table)
    model = pc.Popularity().fit(data)
    message = f"column 'kind' is sparse_union.*, which {backend} frames cannot hold: leave it out"
    with pytest.raises(DataError, match=message):
        model.recommend("a", with_columns=["kind"])
    assert len(model.recommend("a")) == 3


def test_what_cannot_be_read_names_its_column() -> None:
    runs = pa.RunEndEncodedArray.from_arrays([4], pa.array(["mug"], pa.string_view()))
    inner = pa.array([[[1]]] * 4, pa.list_(pa.list_view(pa.int8())))
    for column in (runs, inner):
        with pytest.raises(DataError, match=r"column 'kind' is .* cannot be read: make it"):
            model_of(column)


def test_uuids_compare_as_text() -> None:
    storage = pa.array([b"a" * 16, b"b" * 16, b"a" * 16, None], pa.binary(16))
    column = pa.ExtensionArray.from_storage(pa.uuid(), storage)
    wanted = "62626262-6262-6262-6262-626262626262"
    model = model_of(column)
    found = model.recommend("d", exclude_seen=False, where=f"kind = '{wanted}'")
    assert found["item"].to_pylist() == ["x"]
    asked = uuid.UUID(wanted)
    for value in (asked, [asked], pa.scalar(asked.bytes, pa.uuid())):
        given = model.recommend(
            "d", exclude_seen=False, where="kind in $KIND", where_values={"KIND": value}
        )
        assert given["item"].to_pylist() == ["x"]


def test_categories_of_uuids_are_kept(tmp_path):
    names = [uuid.UUID(int=n) for n in (1, 2, 1)]
    table = pd.DataFrame({"item": [1, 2, 3], "brand": pd.Categorical(names)})
    events = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 3]})
    data = pc.Interactions.from_frame(events, user="user", item="item", item_features=table)
    model = pc.Popularity().fit(data)
    model.save(tmp_path)
    for one in (model, pc.load(tmp_path)):
        found = one.recommend(7, where=f"brand == '{names[0]}'", unknown="popular")
        assert sorted(found["item"]) == [1, 3]


def test_a_column_that_polars_cannot_give_is_named():
    polars = pytest.importorskip("polars")
    if not hasattr(polars, "Int128"):
        pytest.skip("this polars has no such type")
    wide = polars.DataFrame({"item": [1, 2]}).with_columns(
        polars.lit(1).cast(polars.Int128).alias("big")
    )
    events = polars.DataFrame({"user": [1, 2], "item": [1, 2]})
    with pytest.raises(DataError, match="column 'big' is Int128, which cannot be read"):
        pc.Interactions.from_frame(events, user="user", item="item", item_features=wide)
