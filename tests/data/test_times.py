from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant.data import _times
from penchant.errors import DataError, ParameterError

NOON = 1_323_432_000_000_000  # 2011-12-09 12:00 UTC in microseconds
UTC_NOON = dt.datetime(2011, 12, 9, 12, tzinfo=dt.timezone.utc)

FORMS: dict[str, tuple[Any, str | None]] = {
    "timestamp[s]": (pa.array([UTC_NOON.replace(tzinfo=None)], pa.timestamp("s")), None),
    "timestamp[ns]": (pa.array([UTC_NOON.replace(tzinfo=None)], pa.timestamp("ns")), None),
    "other zone": (pa.array([UTC_NOON], pa.timestamp("us", "Europe/Paris")), None),
    "text": (pa.array(["2011-12-09 12:00:00"]), None),
    "text with T": (pa.array(["2011-12-09T12:00"]), None),
    "text with Z": (pa.array(["2011-12-09T12:00:00Z"]), None),
    "text with offset": (pa.array(["2011-12-09T14:00:00+02:00"]), None),
    "text with short offset": (pa.array(["2011-12-09 14:00:00.000+02"]), None),
    "text with nanoseconds": (pa.array(["2011-12-09T12:00:00.000000000"]), None),
    "text with spaces": (pa.array([" 2011-12-09 12:00:00 "]), None),
    "category of text": (pa.array(["2011-12-09 12:00:00"]).dictionary_encode(), None),
    "seconds": (pa.array([NOON // 10**6]), "s"),
    "int32 seconds": (pa.array([NOON // 10**6], pa.int32()), "s"),
    "float seconds": (pa.array([NOON / 10**6]), "s"),
    "milliseconds": (pa.array([NOON // 10**3]), "ms"),
    "microseconds": (pa.array([NOON], pa.uint64()), "us"),
    "nanoseconds": (pa.array([NOON * 10**3]), "ns"),
    "decimal seconds": (pa.array([Decimal(NOON // 10**6)]), "s"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_moment_is_the_same_moment(form: str) -> None:
    column, unit = FORMS[form]
    times, _ = _times.read_times(column, "t", unit)
    assert times.dtype == np.int64
    assert times.tolist() == [NOON]


@pytest.mark.parametrize("form", [f for f in FORMS if not f.startswith(("text with", "category"))])
def test_the_callers_dtype_comes_back(form: str) -> None:
    column, unit = FORMS[form]
    times, time_format = _times.read_times(column, "t", unit)
    back = _times.write_times(pa.array(times), time_format)
    assert back.type.equals(column.type)
    if form != "text":
        assert back.to_pylist() == column.to_pylist()


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        (["2011-12-09", "2011-12-10 08:00"], ["2011-12-09T00:00:00", "2011-12-10T08:00:00"]),
        (["2011-12-09T12:00:00Z"], ["2011-12-09T12:00:00Z"]),
        (["2011-12-09T14:00:00+02:00"], ["2011-12-09T12:00:00Z"]),
        (["2011-12-09 12:00:00.5"], ["2011-12-09T12:00:00.500000"]),
        (["2010-10-10 10:10:10"], ["2010-10-10T10:10:10"]),
    ],
)
def test_text_comes_back_as_iso_text(given_text: list[str], shown: list[str]) -> None:
    times, time_format = _times.read_times(pa.array(given_text), "t", None)
    assert _times.write_times(pa.array(times), time_format).to_pylist() == shown


def test_text_with_and_without_zone_may_mix() -> None:
    column = pa.array(["2011-12-09 12:00:00", "2011-12-09T13:00:00+01:00"])
    assert _times.read_times(column, "t", None)[0].tolist() == [NOON, NOON]


def test_dates_are_midnight() -> None:
    for kind in (pa.date32(), pa.date64()):
        column = pa.array([dt.date(1970, 1, 2)], kind)
        times, time_format = _times.read_times(column, "t", None)
        assert times.tolist() == [86_400_000_000]
        assert _times.write_times(pa.array(times), time_format).equals(column)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)), min_size=1))
def test_any_moment_round_trips(moments: list[dt.datetime]) -> None:
    column = pa.array(moments, pa.timestamp("us"))
    times, time_format = _times.read_times(column, "t", None)
    assert _times.write_times(pa.array(times), time_format).to_pylist() == moments
    text = pa.array([m.isoformat() for m in moments])
    assert _times.read_times(text, "t", None)[0].tolist() == times.tolist()


@pytest.mark.parametrize(
    ("column", "unit", "error", "match"),
    [
        (pa.array([1, 2]), None, ParameterError, r"numbers \(1, ...\).*timestamp_unit='s'"),
        (pa.array([1.0]), None, ParameterError, "timestamp_unit="),
        (pa.array([1, 2]), "min", ParameterError, "timestamp_unit='min' is not one of"),
        (pa.array([UTC_NOON]), "s", ParameterError, "is for columns of numbers"),
        (pa.array([UTC_NOON, None]), None, DataError, "row 1: the timestamp column 't' is null"),
        (pa.array([1.0, float("nan")]), "s", DataError, "row 1: .* is null"),
        (pa.array([1, NOON]), "s", DataError, "row 1: .*outside the years 1 to 9999.*unit"),
        (pa.array([2**63 - 1]), "s", DataError, "outside the years"),
        (pa.array([-(2**63)]), "us", DataError, "outside the years"),
        (pa.array([2**64 - 1], pa.uint64()), "us", DataError, "beyond int64"),
        (pa.array([float("inf")]), "s", DataError, "outside the years"),
        (pa.array(["2011-12-09", "9/12/2011"]), None, DataError, "row 1: '9/12/2011' in timestamp"),
        (pa.array(["2011-12-09", ""]), None, DataError, "row 1: '' in timestamp"),
        (pa.array([True]), None, DataError, "must hold dates, times or numbers"),
        (pa.array([b"x"]), None, DataError, "must hold dates, times or numbers"),
        (pa.array([2**62], pa.timestamp("s")), None, DataError, "timestamp column 't'"),
    ],
)
def test_what_is_no_time_is_refused(
    column: Any, unit: str | None, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        _times.read_times(column, "t", unit)


def test_the_first_bad_text_is_named_by_the_callers_row() -> None:
    text = ["2011-12-09"] * 100
    text[37], text[80] = "soon", "later"
    with pytest.raises(DataError, match="row 1037: 'soon'"):
        _times.read_times(pa.array(text), "t", None, np.arange(100) + 1000)


@pytest.mark.parametrize(
    "moment",
    [
        "2011-12-09 12:00",
        dt.datetime(2011, 12, 9, 12),
        UTC_NOON,
        np.datetime64("2011-12-09T12:00"),
        pd.Timestamp("2011-12-09 12:00"),
        pd.Timestamp("2011-12-09 13:00", tz="Europe/Paris"),
    ],
)
def test_a_moment_may_be_given_in_any_form(moment: Any) -> None:
    assert _times.to_moment(moment, "cutoff") == NOON


@pytest.mark.parametrize("moment", [5, 1.5, True, "soon", b"x", None])
def test_what_is_no_moment_is_refused(moment: Any) -> None:
    with pytest.raises(ParameterError, match="cutoff="):
        _times.to_moment(moment, "cutoff")


def test_moments_are_shown_as_short_as_they_are() -> None:
    assert _times.show(0) == "1970-01-01"
    assert _times.show(NOON) == "2011-12-09 12:00:00"
    assert _times.show(NOON + 5) == "2011-12-09 12:00:00.000005"
