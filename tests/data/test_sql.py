"""Interactions.from_sql: DB-API cursors row by row, DuckDB as Arrow; the same checks as frames."""

from __future__ import annotations

import datetime
import sqlite3
from contextlib import closing
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

import penchant as pc
from penchant.data import _sql
from penchant.errors import ColumnError, DataError, ParameterError, PenchantWarning

NAMES = {"user": "who", "item": "what"}
ROWS = [(1, "MUG", 2.5), (2, "TRAY", 1.0), (2, "MUG", 4.0), (3, "TÊTE", 1.5)]


@pytest.fixture(params=["sqlite", "duckdb"])
def connection(request):
    if request.param == "sqlite":
        opened = sqlite3.connect(":memory:")
        types = ("INTEGER", "TEXT", "REAL")
    else:
        opened = pytest.importorskip("duckdb").connect()
        types = ("BIGINT", "VARCHAR", "DOUBLE")
    with closing(opened) as db:
        db.execute("CREATE TABLE sales (who {}, what {}, paid {})".format(*types))
        db.executemany("INSERT INTO sales VALUES (?, ?, ?)", ROWS)
        yield db


def frame():
    return pd.DataFrame(ROWS, columns=["who", "what", "paid"])


@pytest.mark.parametrize("rows", [2, 65_536])
def test_the_same_as_the_frame(connection, monkeypatch, rows):
    monkeypatch.setattr(_sql, "_ROWS", rows)
    found = pc.Interactions.from_sql(connection, "SELECT * FROM sales", value="paid", **NAMES)
    wanted = pc.Interactions.from_frame(frame(), value="paid", **NAMES)
    assert found.events.equals(wanted.events)
    assert found.users.to_list() == [1, 2, 3]
    pd.testing.assert_frame_equal(found.to_frame(), wanted.to_frame(), check_dtype=False)


def test_parameters_and_the_connection_stays_open(connection):
    query = "SELECT what, who FROM sales WHERE who >= ? ORDER BY paid"
    found = pc.Interactions.from_sql(connection, query, parameters=[2], backend="pyarrow", **NAMES)
    assert found.to_frame().to_pydict() == {
        "who": [2, 3, 2],
        "what": ["TRAY", "TÊTE", "MUG"],
    }
    assert len(connection.execute("SELECT 1").fetchall()) == 1


def test_missing_ids_are_dropped(connection):
    connection.execute("INSERT INTO sales VALUES (NULL, 'MUG', 1)")
    with pytest.warns(PenchantWarning, match="dropped 1 of 5 rows without who"):
        found = pc.Interactions.from_sql(connection, "SELECT * FROM sales", **NAMES)
    assert len(found) == 4


def test_columns_that_are_not_there(connection):
    with pytest.raises(ColumnError, match="'Who' is missing, did you mean 'who'"):
        pc.Interactions.from_sql(connection, "SELECT * FROM sales", user="Who", item="what")


def test_a_query_that_is_refused(connection):
    with pytest.raises(DataError, match=r"the database refused the query: .*\bsale\b"):
        pc.Interactions.from_sql(connection, "SELECT * FROM sale", **NAMES)


def test_a_statement_that_is_no_query():
    refused = pytest.raises(DataError, match="the query gives no rows: it must be a SELECT")
    with closing(sqlite3.connect(":memory:")) as db, refused:
        pc.Interactions.from_sql(db, "CREATE TABLE other (a INTEGER)", **NAMES)


def test_no_rows(connection):
    with pytest.raises(DataError, match="no rows"):
        pc.Interactions.from_sql(connection, "SELECT * FROM sales WHERE 1 = 0", **NAMES)


@pytest.mark.parametrize("query", ["", None, 5])
def test_no_query(connection, query):
    with pytest.raises(ParameterError, match="query must be an SQL text"):
        pc.Interactions.from_sql(connection, query, **NAMES)


def test_no_connection():
    with pytest.raises(ParameterError, match="must be a DuckDB or DB-API connection, got str"):
        pc.Interactions.from_sql("shop.db", "SELECT 1", **NAMES)


def test_a_column_twice():
    with closing(sqlite3.connect(":memory:")) as db:
        query = "SELECT 1 AS who, 2 AS who, 3 AS what"
        with pytest.raises(ColumnError, match="2 columns named 'who'"):
            pc.Interactions.from_sql(db, query, **NAMES)


def test_parts_of_different_types(monkeypatch):
    """SQLite lets a column hold anything; what parts hold must not decide."""
    monkeypatch.setattr(_sql, "_ROWS", 2)
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE sales (who, what, paid)")
        rows = [(1, None, 1), (2, None, 2), (3, "a", 0.5), (4, "b", None), (7, 9, 1), (8, 10, 2)]
        db.executemany("INSERT INTO sales VALUES (?, ?, ?)", rows)
        with pytest.warns(PenchantWarning, match="'what' mixes int and str values"):
            table = _sql.read_sql(db, "SELECT * FROM sales", None, ["who", "what", "paid"])
    assert table["who"].type == pa.int64()
    assert table["what"].to_pylist() == [None, None, "a", "b", "9", "10"]
    assert table["paid"].to_pylist() == [1, 2, 0.5, None, 1, 2]


def test_decimals_of_different_lengths():
    chunks = [pa.array([Decimal("1.5")]), pa.array([Decimal("1234567.25"), None])]
    assert [float(v or 0) for v in _sql._joined(chunks, "x").to_pylist()] == [1.5, 1234567.25, 0]


def test_times(connection):
    rows = connection.execute("SELECT 1").fetchall()
    assert rows == [(1,)]
    query = "SELECT who, what, '2024-03-01 12:00:00' AS at FROM sales"
    found = pc.Interactions.from_sql(connection, query, timestamp="at", **NAMES)
    noon = datetime.datetime(2024, 3, 1, 12, tzinfo=datetime.timezone.utc)
    assert set(found.array("timestamp").tolist()) == {int(noon.timestamp() * 1e6)}


def test_duckdb_sees_frames_and_temporary_tables():
    duckdb = pytest.importorskip("duckdb")
    with closing(duckdb.connect()) as db:
        db.register("mine", frame())
        db.execute("CREATE TEMP TABLE own AS SELECT * FROM mine")
        found = pc.Interactions.from_sql(db, "SELECT * FROM own", **NAMES)
    assert len(found) == 4
