"""train_and_get_recommendations: real databases, real threads, real HTTP."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import duckdb
import numpy as np
import pandas as pd
import pytest
from external_support import TRAIN, ask, call_as_snowflake, served, values

import penchant as pc
from penchant.serving.external import ExternalFunctions

ARGUMENTS = ["ratings", "recs", "svd", 3, "user_id", "item_id", "rating"]


def ratings(n_users=30, n_items=20, seed=3):
    rng = np.random.RandomState(seed)
    pairs = [(u, i) for u in range(n_users) for i in rng.choice(n_items, 6, replace=False)]
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    frame["rating"] = rng.randint(1, 6, len(frame)).astype(float)
    frame["item_id"] = "item " + frame["item_id"].astype(str)
    return frame


class Database:
    """A database file, with what the tests ask of it."""

    def __init__(self, kind, path):
        self.kind = kind
        self.path = str(path / f"{kind}.db")
        self.opened = 0
        self.run("CREATE TABLE ratings (user_id BIGINT, item_id VARCHAR, rating DOUBLE PRECISION)")
        rows = ratings().itertuples(index=False, name=None)
        listed = ", ".join(f"({user}, '{item}', {rating})" for user, item, rating in rows)
        self.run(f"INSERT INTO ratings VALUES {listed}")

    def connect(self):
        self.opened += 1
        return (duckdb if self.kind == "duckdb" else sqlite3).connect(self.path)

    def run(self, statement):
        with closing(self.connect()) as connection:
            found = connection.cursor().execute(statement).fetchall()
            connection.commit()
            return found

    def run_many(self, statement, rows):
        with closing(self.connect()) as connection:
            connection.cursor().executemany(statement, rows)
            connection.commit()

    def tables(self):
        where = {
            "duckdb": "information_schema.tables",
            "sqlite": "(SELECT name AS table_name FROM sqlite_master WHERE type = 'table')",
        }
        return sorted(name for (name,) in self.run(f"SELECT table_name FROM {where[self.kind]}"))


@pytest.fixture(params=["duckdb", "sqlite"])
def database(request, tmp_path):
    return Database(request.param, tmp_path)


@pytest.fixture(scope="module", params=["duckdb", "sqlite"])
def kept(request, tmp_path_factory):
    """One that no test changes."""
    database = Database(request.param, tmp_path_factory.mktemp("kept"))
    database.run("CREATE TABLE others (a BIGINT)")
    return database


@pytest.fixture
def duck(tmp_path):
    return Database("duckdb", tmp_path)


def none(*_):
    raise AssertionError("not called here")


@pytest.fixture
def make():
    made = []

    def make(connect, **options):
        made.append(ExternalFunctions(none, none, connect, **options))
        return made[-1]

    yield make
    for functions in made:
        functions.drain()
        functions.close()


def train(functions, *rows, batch="b1"):
    """POST, then poll to the end."""
    status, answer = ask(functions, TRAIN, *rows, batch=batch)
    while status == 202:
        functions.drain()
        status, answer = ask(functions, TRAIN, batch=batch, method="GET")
    return status, answer


def test_recommendations_are_those_of_the_model(database, make):
    with served(make(database.connect)) as url:
        statuses, answer = call_as_snowflake(f"{url}/{TRAIN}", "b1", ARGUMENTS)
    assert statuses[0] == 202
    assert statuses[-1] == 200
    (summary,) = values(answer)
    frame = ratings()
    data = pc.Interactions.from_frame(frame, user="user_id", item="item_id", value="rating")
    expected = pc.SVD().fit(data, progress=False).recommend(k=3)
    found = pd.DataFrame(
        database.run('SELECT user_id, item_id, score, rank FROM "recs" ORDER BY user_id, rank'),
        columns=expected.columns,
    )
    assert found["user_id"].tolist() == expected["user_id"].tolist()
    assert found["item_id"].tolist() == expected["item_id"].tolist()
    assert np.array_equal(found["score"].astype(np.float32), expected["score"])
    assert found["rank"].tolist() == expected["rank"].tolist()
    assert summary.pop("train_seconds") >= 0
    assert summary.pop("total_seconds") >= 0
    assert summary == {
        "output_table": "recs",
        "model": "SVD",
        "ratings": len(frame),
        "rows_left_out": 0,
        "users": 30,
        "items": 20,
        "rows": 90,
    }
    assert database.tables() == ["ratings", "recs"]


def test_the_output_is_replaced_and_keeps_nothing(database, make):
    functions = make(database.connect)
    assert train(functions, ARGUMENTS)[0] == 200
    database.run("DELETE FROM ratings WHERE user_id > 9")
    assert train(functions, ARGUMENTS, batch="b2")[0] == 200
    assert database.run("SELECT count(*), count(DISTINCT user_id) FROM recs") == [(30, 10)]
    assert database.tables() == ["ratings", "recs"]


def test_rows_without_ids_are_left_out_and_counted(database, make):
    database.run("INSERT INTO ratings VALUES (NULL, 'item 1', 3), (1, NULL, 2), (NULL, NULL, 1)")
    status, answer = train(make(database.connect), ARGUMENTS)
    assert status == 200
    assert values(answer)[0]["rows_left_out"] == 3
    assert values(answer)[0]["ratings"] == 180


def test_options(database, make):
    row = [
        *["ratings", "recs", "Svd", 20, "user_id", "item_id", "rating"],
        {"exclude_seen": False, "params": {"factors": 4, "rating_scale": [1, 5]}},
    ]
    status, answer = train(make(database.connect), row)
    assert status == 200
    assert values(answer)[0]["rows"] == 30 * 20


def test_times_order_the_events(database, make):
    database.run("CREATE TABLE visits (who VARCHAR, what VARCHAR, at_second BIGINT)")
    pages = ["a", "b", "c", "d"]
    rows = [(f"u{u}", pages[(u + t) % 4], 1_600_000_000 + t) for u in range(8) for t in range(3)]
    database.run_many("INSERT INTO visits VALUES (?, ?, ?)", rows)
    row = ["visits", "next_page", "prod2vec", 1, "who", "what", None]
    options = {
        "timestamp_col": "at_second",
        "timestamp_unit": "s",
        "params": {"min_count": 1, "vector_size": 8},
    }
    status, answer = train(make(database.connect), [*row, options])
    assert status == 200, answer
    assert database.run("SELECT count(*) FROM next_page") == [(8,)]


def test_a_retry_never_trains_or_writes_again(database, make):
    functions = make(database.connect)
    opened = database.opened
    with served(functions) as url, ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(call_as_snowflake, f"{url}/{TRAIN}", "b1", ARGUMENTS) for _ in range(8)
        ]
        answers = [one.result()[1] for one in asked]
        assert database.opened == opened + 1
        database.run("DELETE FROM recs")
        opened = database.opened
        late = call_as_snowflake(f"{url}/{TRAIN}", "b1", ARGUMENTS)
    assert late == ([200], answers[0])
    assert all(answer == answers[0] for answer in answers)
    assert database.opened == opened
    assert database.run("SELECT count(*) FROM recs") == [(0,)]


def test_a_failed_run_is_answered_and_can_be_asked_anew(database, make):
    functions = make(database.connect)
    row = ["orders", *ARGUMENTS[1:]]
    status, answer = train(functions, row)
    assert status == 400
    assert "the warehouse refused: " in answer["error"]
    assert "orders" in answer["error"]
    database.run("CREATE TABLE orders AS SELECT * FROM ratings")
    assert train(functions, row) == (400, answer)
    assert train(functions, row, batch="b2")[0] == 200


def test_a_row_that_fails_leaves_the_others(database, make):
    rows = [ARGUMENTS, ["nothing", *ARGUMENTS[1:]], ["ratings", "more", *ARGUMENTS[2:]], ["x"]]
    status, answer = train(make(database.connect), *rows)
    assert status == 200
    found = values(answer)
    assert [value.get("rows") for value in found] == [90, None, 90, None]
    assert "the warehouse refused" in found[1]["error"]
    assert "got 1 arguments" in found[3]["error"]
    assert database.tables() == ["more", "ratings", "recs"]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, "ratings; DROP TABLE ratings", "input_table must be an SQL name"),
        (0, "ratings WHERE 1=1", "input_table must be an SQL name"),
        (0, "(SELECT * FROM ratings)", "input_table must be an SQL name"),
        (0, 'ratings" --', "input_table must be an SQL name"),
        (0, "a.b.c.d", "input_table must be an SQL name"),
        (0, "", "input_table must be an SQL name"),
        (0, None, "input_table must be an SQL name"),
        (0, "x" * 300, "input_table must be an SQL name"),
        (0, "ratings\x00", "input_table must be an SQL name"),
        (1, "recs'; DELETE FROM ratings; --", "output_table must be an SQL name"),
        (1, "ratings", "output_table 'ratings' is the input_table"),
        (1, '"RATINGS"', "is the input_table"),
        (1, "main.Ratings", "is the input_table"),
        (1, "others", "output_table others exists and is no table of recommendations"),
        (2, "svdd", "no model 'svdd', did you mean 'svd'?"),
        (2, "__class__", "no model '__class__'"),
        (2, 7, "model must be text"),
        (3, 0, "k must be a whole number from 1 to 1000, got 0"),
        (3, 10**9, "k must be a whole number"),
        (3, "3", "k must be a whole number"),
        (3, True, "k must be a whole number"),
        (4, "user_id FROM ratings; --", "user_col must be an SQL name"),
        (4, "item_id", "the columns must differ"),
        (4, "users", "table ratings has no column 'users'"),
        (5, '"x"" FROM ratings --"', "has no column"),
        (6, "1); DROP TABLE ratings; --", "value_col must be an SQL name"),
        (6, "stars", "table ratings has no column 'stars'"),
        (7, {"where": "1=1"}, "unknown option 'where'"),
        (7, "params", "options must be an object"),
        (7, {"params": [1]}, "params must be an object"),
        (7, {"params": {"factor": 3}}, "SVD has no parameter 'factor'"),
        (7, {"params": {"factors": -3}}, "factors must be"),
        (7, {"exclude_seen": "no"}, "exclude_seen must be true or false"),
        (7, {"timestamp_col": "a b"}, "timestamp_col must be an SQL name"),
        (7, {"negative_values": "ignore"}, "negative_values"),
        (7, {"timestamp_col": "rating", "timestamp_unit": "s"}, "the columns must differ"),
    ],
)
def test_arguments_are_checked_and_cannot_inject(kept, make, place, value, message):
    row = [*ARGUMENTS, None]
    row[place] = value
    status, answer = train(make(kept.connect), row)
    assert status == 400
    assert message in answer["error"]
    assert kept.tables() == ["others", "ratings"]
    assert kept.run("SELECT count(*) FROM ratings") == [(180,)]


def test_names_in_quotes_and_of_any_letters(database, make):
    name = 'Größe"; DROP TABLE ratings; --'
    quoted = '"' + name.replace('"', '""') + '"'
    database.run(f'CREATE TABLE {quoted} ("the user" VARCHAR, produit_é VARCHAR)')
    database.run(f"INSERT INTO {quoted} VALUES ('日本', 'a'), ('日本', 'b'), ('☃', 'a')")
    row = [quoted, '"out put"', "popularity", 5, '"the user"', "produit_é", None]
    status, answer = train(make(database.connect), row)
    assert status == 200, answer
    assert database.run('SELECT * FROM "out put"') == [("☃", "b", 1.0, 1)]
    assert "ratings" in database.tables()


def test_a_failure_while_writing_leaves_the_old_table(database, make):
    functions = make(database.connect)
    assert train(functions, ARGUMENTS)[0] == 200
    before = database.run("SELECT * FROM recs")
    database.run("ALTER TABLE recs RENAME TO kept")
    database.run("CREATE VIEW recs AS SELECT * FROM kept")  # a view, which is not replaced
    status, answer = train(functions, ARGUMENTS, batch="b2")
    assert status == 400
    assert "the warehouse refused" in answer["error"]
    assert database.run("SELECT * FROM recs") == before
    assert not [name for name in database.tables() if name.startswith("penchant_")]


def test_readers_see_the_old_rows_or_the_new_ones(duck, make):
    duck.run(
        "INSERT INTO ratings SELECT user_id + 1000 * n, item_id, rating "
        "FROM ratings, range(1, 60) AS t(n)"
    )
    functions = make(duck.connect)
    assert train(functions, ARGUMENTS)[0] == 200
    seen = set()
    done = threading.Event()

    def read():
        with closing(duck.connect()) as connection:
            while not done.is_set():
                seen.add(connection.execute("SELECT count(*), max(rank) FROM recs").fetchone())

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(4):
        row = [*ARGUMENTS[:2], "popularity", 2 + n % 2, *ARGUMENTS[4:]]
        status, answer = train(functions, row, batch=f"again {n}")
        assert status == 200, answer
    done.set()
    for reader in readers:
        reader.join()
    assert seen <= {(1800 * 2, 2), (1800 * 3, 3)}
    assert len(seen) == 2


def test_too_many_at_once(duck, make):
    door = threading.Event()

    def connect():
        assert door.wait(600)
        return duck.connect()

    functions = make(connect, max_trainings=2)
    rows = [["ratings", f"recs{n}", *ARGUMENTS[2:]] for n in range(3)]
    assert ask(functions, TRAIN, rows[0], batch="b0")[0] == 202
    assert ask(functions, TRAIN, rows[1], batch="b1")[0] == 202
    status, answer = ask(functions, TRAIN, rows[2], batch="b2")
    assert status == 429
    assert "try later" in answer["error"]
    assert ask(functions, TRAIN, rows[0], batch="b0")[0] == 202  # a retry is not one more
    assert ask(functions, TRAIN, batch="b2", method="GET")[0] == 404
    door.set()
    functions.drain()
    assert ask(functions, TRAIN, batch="b0", method="GET")[0] == 200
    assert train(functions, rows[2], batch="b2")[0] == 200
    assert duck.tables() == ["ratings", "recs0", "recs1", "recs2"]


def test_without_a_warehouse(make):
    status, answer = train(make(None), ARGUMENTS)
    assert status == 400
    assert "without a warehouse" in answer["error"]


def test_an_empty_table(database, make):
    database.run("DELETE FROM ratings")
    status, answer = train(make(database.connect), ARGUMENTS)
    assert status == 400
    assert "table ratings has no ratings with a user and an item" in answer["error"]
    assert database.tables() == ["ratings"]


def test_everybody_has_seen_everything(database, make):
    database.run("DELETE FROM ratings")
    database.run("INSERT INTO ratings VALUES (1, 'a', 3), (2, 'a', 4)")
    row = [*ARGUMENTS[:2], "popularity", *ARGUMENTS[3:]]
    status, answer = train(make(database.connect), row)
    assert status == 200
    assert values(answer)[0]["rows"] == 0
    assert database.run("SELECT * FROM recs") == []
