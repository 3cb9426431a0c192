from __future__ import annotations

import datetime as dt
import json
import pickle
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from penchant.data import IdMap, _limits
from penchant.errors import ArtifactError, DataError, PenchantWarning

UUIDS = [uuid.UUID(int=7), uuid.UUID("f5ad1a9f-99a2-4037-b77f-dc5c024a2110")]
DAY = dt.datetime(2011, 12, 9, 12, 50)

# (column, dtype shown, ids in order)
COLUMNS: dict[str, tuple[Any, str, list[Any]]] = {
    "int8": (pa.array([3, -1, 3], pa.int8()), "int8", [-1, 3]),
    "int64": (pa.array([17850, 12583]), "int64", [12583, 17850]),
    "uint32": (pa.array([2**32 - 1, 5], pa.uint32()), "uint32", [5, 2**32 - 1]),
    "uint64 beyond int64": (pa.array([2**64 - 1], pa.uint64()), "uint64", [2**64 - 1]),
    "whole floats": (pa.array([17850.0, 12583.0]), "int64", [12583, 17850]),
    "float32": (pa.array([2.0, 1.0], pa.float32()), "int64", [1, 2]),
    "string": (pa.array(["b", "é", "a"]), "string", ["a", "b", "é"]),
    "large string": (pa.array(["b", "a"], pa.large_string()), "string", ["a", "b"]),
    "empty text": (pa.array(["", " "]), "string", ["", " "]),
    "category": (pa.array(["b", "a"]).dictionary_encode(), "category", ["a", "b"]),
    "category of integers": (pa.array([9, 4]).dictionary_encode(), "category", [4, 9]),
    "bool": (pa.array([True, False]), "bool", [False, True]),
    "date": (pa.array([DAY.date()]), "date32[day]", [DAY.date()]),
    "datetime": (pa.array([DAY]), "timestamp[us]", [DAY]),
    "datetime with zone": (
        pa.array([DAY.replace(tzinfo=dt.timezone.utc)], pa.timestamp("ms", "UTC")),
        "timestamp[ms, tz=UTC]",
        [DAY.replace(tzinfo=dt.timezone.utc)],
    ),
    "time": (pa.array([dt.time(3, 4)]), "time64[us]", [dt.time(3, 4)]),
    "time32": (pa.array([dt.time(3, 4)], pa.time32("s")), "time32[s]", [dt.time(3, 4)]),
    "duration": (pa.array([dt.timedelta(3)]), "duration[us]", [dt.timedelta(3)]),
    "whole decimals": (
        pa.array([Decimal(17850), Decimal(3)]),
        "decimal128(5, 0)",
        [Decimal(3), Decimal(17850)],
    ),
    "wide decimals": (
        pa.array([Decimal(17850)], pa.decimal128(38, 0)),
        "decimal128(38, 0)",
        [Decimal(17850)],
    ),
    "decimals": (pa.array([Decimal("1.50")]), "decimal128(3, 2)", [Decimal("1.50")]),
    "bytes of text": (pa.array([b"ab", b"c"]), "binary", [b"ab", b"c"]),
    "raw bytes": (pa.array([b"\xff\x00", b"c"]), "binary", [b"c", b"\xff\x00"]),
    "digests": (
        pa.array([b"0123456789abcdef"], pa.binary(16)),
        "fixed_size_binary[16]",
        [b"0123456789abcdef"],
    ),
    "uuid": (pa.array([one.bytes for one in UUIDS], pa.uuid()), "uuid", UUIDS),
}


@pytest.fixture(params=COLUMNS)
def case(request: pytest.FixtureRequest) -> tuple[Any, str, list[Any]]:
    return COLUMNS[request.param]


def test_ids_keep_their_dtype_and_come_sorted(case: tuple[Any, str, list[Any]]) -> None:
    column, dtype, expected = case
    ids, codes = IdMap.from_column(column, "x")
    assert ids.dtype == dtype
    assert codes.dtype == np.int32
    assert list(ids) == ids.to_list() == expected
    assert [ids[i] for i in range(len(ids))] == expected
    assert ids[-1] == expected[-1]
    restored = ids.take(codes)
    assert restored.to_pylist() == column.to_pylist()
    if not pa.types.is_floating(column.type):
        assert restored.type.equals(column.type)
    assert ids.to_arrow().to_pylist() == expected


def test_every_lookup_finds_the_ids_given(case: tuple[Any, str, list[Any]]) -> None:
    column, _, expected = case
    ids, codes = IdMap.from_column(column, "x")
    assert ids.codes(column).tolist() == codes.tolist()
    assert ids.codes(expected).tolist() == list(range(len(expected)))
    assert ids.codes(pd.Series(expected)).tolist() == list(range(len(expected)))
    assert [ids.code(value) for value in expected] == list(range(len(expected)))
    assert all(value in ids for value in expected)


@pytest.mark.parametrize(
    "stranger",
    [
        "no such id",
        424242,
        4.5,
        None,
        float("nan"),
        2**70,
        -(2**70),
        DAY,
        b"\xfe",
        [1],
        float("inf"),
        Decimal("7.25"),
        uuid.UUID(int=9),
        "",
        "1e3",
        "\ud800",
    ],
)
def test_strangers_are_unknown_and_never_an_error(
    case: tuple[Any, str, list[Any]], stranger: Any
) -> None:
    column, _, expected = case
    ids, _ = IdMap.from_column(column, "x")
    if stranger in expected or (stranger is DAY and "UTC" in case[1]):
        pytest.skip("not a stranger here")
    assert ids.code(stranger) == -1
    assert stranger not in ids
    if not isinstance(stranger, list):
        mixed = [stranger, expected[0]]
        assert ids.codes(mixed)[0] == -1


def test_state_survives_json_and_pickle(case: tuple[Any, str, list[Any]]) -> None:
    ids, _ = IdMap.from_column(case[0], "x")
    stored, description = ids.to_state()
    assert stored.type in (pa.int64(), pa.large_string())
    again = IdMap.from_state(stored, json.loads(json.dumps(description)))
    assert again == ids
    assert again.name == "x"
    assert again.to_list() == ids.to_list()
    assert pickle.loads(pickle.dumps(ids)) == ids


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in COLUMNS
        if n not in ("raw bytes", "digests", "bytes of text", "time", "time32", "duration")
    ],
)
def test_text_as_from_a_url_finds_the_id(name: str) -> None:
    column, _, expected = COLUMNS[name]
    ids, _ = IdMap.from_column(column, "x")
    assert ids.codes([str(value) for value in expected]).tolist() == list(range(len(expected)))


@pytest.mark.parametrize(
    "given_id",
    [
        17850,
        17850.0,
        "17850",
        "17850.0",
        " 17850 ",
        "+17850",
        Decimal(17850),
        Decimal("17850.0"),
        np.int16(17850),
        np.float32(17850),
        np.str_("17850"),
        b"17850",
        "017850",
    ],
)
def test_an_integer_id_is_found_in_any_dress(given_id: Any) -> None:
    ids, _ = IdMap.from_column(pa.array([12583, 17850]), "CustomerID")
    assert ids.code(given_id) == 1
    assert ids.codes([given_id, None]).tolist() == [1, -1]


@pytest.mark.parametrize(
    "given_id", [17850, 17850.0, "17850", Decimal(17850), np.int64(17850), b"17850"]
)
def test_a_text_id_is_found_in_any_dress(given_id: Any) -> None:
    ids, _ = IdMap.from_column(pa.array(["12583", "17850"]), "CustomerID")
    assert ids.code(given_id) == 1
    assert ids.codes([given_id]).tolist() == [1]


@pytest.mark.parametrize("text", ["true", "True", "1"])
def test_booleans_are_found_as_text(text: str) -> None:
    ids, _ = IdMap.from_column(pa.array([True, False]), "x")
    assert ids.code(text) == 1
    assert ids.codes([0, 1, 2]).tolist() == [0, 1, -1]


def test_uuids_are_found_in_any_spelling() -> None:
    ids, _ = IdMap.from_column(pa.array([one.bytes for one in UUIDS], pa.uuid()), "x")
    value = UUIDS[1]
    spellings = [str(value).upper(), value.hex, f"{{{value}}}", value.bytes]
    assert [ids.code(spelling) for spelling in spellings] == [1] * 4


def test_lookups_accept_every_container() -> None:
    polars = pytest.importorskip("polars")
    ids, _ = IdMap.from_column(pa.array(["a", "b"]), "x")
    values = ["b", "z", "a"]
    for container in (
        values,
        tuple(values),
        np.array(values),
        np.array(values, object),
        pd.Series(values),
        pd.Index(values),
        pd.Series(values, dtype="category"),
        polars.Series(values),
        polars.Series(values, dtype=polars.Categorical),
        pa.array(values),
        pa.chunked_array([["b"], ["z", "a"]]),
        (v for v in values),
        pa.array(values).dictionary_encode(),
        np.array(values)[::1],
    ):
        assert ids.codes(container).tolist() == [1, -1, 0]
    assert ids.codes("b").tolist() == [1]
    assert ids.codes(np.array("b")).tolist() == [1]
    assert ids.codes([]).tolist() == []
    assert ids.codes([1, "b", None, 2.5]).tolist() == [-1, 1, -1, -1]
    with pytest.raises(DataError, match="one-dimensional"):
        ids.codes(np.array([["a"]]))


def test_few_and_many_text_lookups_agree() -> None:
    names = [f"item {i}" for i in range(5000)]
    ids, _ = IdMap.from_column(pa.array(names), "x")
    wanted = ["item 17", "item", "item 4999", "zzz"]
    few, many = ids.codes(wanted), ids.codes(wanted * 50)
    assert many.tolist() == few.tolist() * 50
    assert [ids[c] if c >= 0 else None for c in few] == ["item 17", None, "item 4999", None]


def test_a_memory_mapped_map_answers(tmp_path: Any) -> None:
    ids, _ = IdMap.from_column(pa.array([f"item {i}" for i in range(1000)]), "x")
    stored, description = ids.to_state()
    with (
        pa.OSFile(str(tmp_path / "ids"), "wb") as sink,
        pa.ipc.new_file(sink, pa.schema([("id", stored.type)])) as writer,
    ):
        writer.write_table(pa.table({"id": stored}))
    with pa.memory_map(str(tmp_path / "ids")) as source:
        mapped = IdMap.from_state(pa.ipc.open_file(source).read_all().column("id"), description)
        assert mapped == ids
        assert mapped[mapped.code("item 500")] == "item 500"
        part = IdMap.from_state(stored[10:20], description)
        assert part.codes(part.to_list()).tolist() == list(range(10))


def test_subset_renumbers() -> None:
    ids, _ = IdMap.from_column(pa.array(["a", "b", "c"]), "x")
    part = ids.subset(np.array([0, 2]))
    assert part.to_list() == ["a", "c"]
    assert part.codes(["a", "b", "c"]).tolist() == [0, -1, 1]


def test_unused_categories_are_not_ids_and_chunks_are_unified() -> None:
    column = pa.array(["x", "y"]).dictionary_encode()
    unused = pa.DictionaryArray.from_arrays(
        pa.array([2, 0]), pa.array(["a", "b", "c"]), ordered=True
    )
    ids, codes = IdMap.from_column(unused, "x")
    assert ids.to_list() == ["a", "c"]
    assert codes.tolist() == [1, 0]
    assert ids.take([0]).type.ordered
    chunks = pa.chunked_array([column, pa.array(["z", "y"]).dictionary_encode()])
    ids, codes = IdMap.from_column(chunks, "x")
    assert ids.to_list() == ["x", "y", "z"]
    assert codes.tolist() == [0, 1, 2, 1]


def test_a_result_of_categories_has_all_of_them() -> None:
    ids, _ = IdMap.from_column(pa.array(["a", "b", "c"]).dictionary_encode(), "x")
    assert ids.take(np.array([1])).dictionary.to_pylist() == ["a", "b", "c"]


def test_fractions_become_text_with_a_notice() -> None:
    with pytest.warns(PenchantWarning, match=r"'x' has ids that are not whole.* such as 1\.5"):
        ids, codes = IdMap.from_column(pa.array([2.0, 1.5, 2.0]), "x")
    assert ids.to_list() == ["1.5", "2"]
    assert codes.tolist() == [1, 0, 1]
    assert ids.codes([1.5, 2, "2", 2.0, "1.5"]).tolist() == [0, 1, 1, 1, 0]


def test_floats_beyond_exact_integers_give_a_notice() -> None:
    with pytest.warns(PenchantWarning, match=r"2\*\*53"):
        ids, _ = IdMap.from_column(pa.array([2.0**60]), "x")
    assert ids.to_list() == [2**60]


def test_negative_zero_is_zero() -> None:
    ids, codes = IdMap.from_column(pa.array([0.0, -0.0]), "x")
    assert ids.to_list() == [0]
    assert codes.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("column", "match"),
    [
        (pa.array([1, None]), "1 rows without an id"),
        (pa.nulls(3), "3 rows without an id"),
        (pa.array([1.0, float("inf")]), "infinite"),
        (pa.array([[1], [2]]), "cannot be ids"),
        (pa.array([{"a": 1}]), "cannot be ids"),
    ],
)
def test_columns_that_are_no_ids_are_refused(column: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        IdMap.from_column(column, "x")


def test_too_many_ids_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _limits.MAX_IDS == 2**31 - 1
    monkeypatch.setattr(_limits, "MAX_IDS", 3)
    IdMap.from_column(pa.array([1, 2, 3]), "x")
    with pytest.raises(DataError, match="'x' has 4 different ids; at most 3"):
        IdMap.from_column(pa.array([1, 2, 3, 4]), "x")


def test_codes_out_of_range_are_refused() -> None:
    ids, _ = IdMap.from_column(pa.array([1, 2]), "x")
    for bad in (-1, 2):
        with pytest.raises(IndexError):
            ids.take([bad])
    with pytest.raises(IndexError):
        ids[2]
    assert ids.take([]).to_pylist() == []


def test_damaged_states_are_refused() -> None:
    ids, _ = IdMap.from_column(pa.array(["a", "b"]), "x")
    stored, description = ids.to_state()
    with pytest.raises(ArtifactError, match="not sorted"):
        IdMap.from_state(stored.take(pa.array([1, 0])), description)
    with pytest.raises(ArtifactError, match="not sorted"):
        IdMap.from_state(stored.take(pa.array([0, 0])), description)
    with pytest.raises(ArtifactError, match="not as described"):
        IdMap.from_state(pa.array([1, 2]), description)
    with pytest.raises(ArtifactError, match="lacks 'text'"):
        IdMap.from_state(stored, {"type": "string"})
    with pytest.raises(ArtifactError, match="not known to this version"):
        IdMap.from_state(stored, {**description, "type": "quaternion"})


def test_repr_and_equality() -> None:
    ids, _ = IdMap.from_column(pa.array([1, 2, 3, 4]), "CustomerID")
    assert repr(ids) == "IdMap('CustomerID', 4 ids of dtype int64: [1, 2, 3, ...])"
    assert ids != IdMap.from_column(pa.array(["1", "2", "3", "4"]), "CustomerID")[0]
    assert ids != [1, 2, 3, 4]


def test_slices_are_looked_up_like_whole_arrays() -> None:
    numbers, _ = IdMap.from_column(pa.array(range(100)), "x")
    asked = pa.array([str(i) if i % 3 else "?" for i in range(100)])
    for first, last in ((0, 50), (25, 37), (50, 100)):
        expected = [i if i % 3 else -1 for i in range(first, last)]
        assert numbers.codes(asked[first:last]).tolist() == expected
        assert numbers.codes(asked.cast(pa.large_string())[first:last]).tolist() == expected


def test_a_slice_is_a_list_of_ids():
    ids, _ = IdMap.from_column(pa.array([30, 10, 20, 40]), "id")
    assert ids[:2] == [10, 20]
    assert ids[::-2] == [40, 20]
    assert ids[9:] == []


def test_integers_of_19_digits_are_found_as_text_up_to_the_largest():
    given = [-(2**63), -(10**18), 7, 1234567890123456789, 9223372036854775799, 2**63 - 1]
    ids, _ = IdMap.from_column(pa.array(given), "tweet")
    texts = [str(one) for one in [*given, -(2**63) - 1, 2**63, 10**19]]
    expected = [0, 1, 2, 3, 4, 5, -1, -1, -1]
    assert ids.codes(texts).tolist() == expected
    assert ids.few_codes(texts).tolist() == expected
    assert [ids.code(text) for text in texts] == expected
    assert [ids.code(int(text)) for text in texts] == expected
