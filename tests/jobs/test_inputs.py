"""What jobs are given to learn from: files, folders, frames, and interactions with their tables."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import penchant as pc
from job_support import frame, interactions
from penchant.errors import DataError, JobError, ParameterError
from penchant.jobs.inputs import write_channels


def test_inputs_of_files(state, tmp_path):
    folder = tmp_path / "sales"
    folder.mkdir()
    frame().iloc[:100].to_csv(folder / "a.csv", index=False, header=False)
    frame().iloc[100:].to_csv(folder / "b.csv", index=False, header=False)
    frame(held_out=True).to_parquet(tmp_path / "test.parquet")
    said = {"user_column": "customer", "item_column": "product", "header": "false"}
    inputs = {"training": str(folder), "testing": tmp_path / "test.parquet"}
    job = pc.jobs.train("itemknn", inputs, said, progress=False)
    assert job.model().columns_.item == "product"
    assert job.summary()["events"] == 200
    assert (folder / "a.csv").exists()
    (folder / "link.csv").symlink_to("/etc/passwd")
    with pytest.raises(JobError, match="is a link that leads out of the channel"):
        pc.jobs.train("itemknn", inputs, said, progress=False)


def test_tables_of_items_and_times_go_with_interactions(state, tmp_path):
    events = frame().assign(at=1_300_000_000 + np.arange(200))
    items = pd.DataFrame({"product": events["product"].unique()})
    items["taste"] = items["product"].str[6].astype(int)
    data = pc.Interactions.from_frame(
        events, user="customer", item="product", timestamp="at", timestamp_unit="s",
        item_features=items,
    )  # fmt: skip
    job = pc.jobs.train("popularity", {"training": data}, progress=False)
    found = job.model().recommend(k=8, where="taste == 1", exclude_seen=False)
    assert set(found["product"].str[6]) == {"1"}
    assert "items: 16 rows, product, taste" in job.logs()
    items.to_csv(tmp_path / "items.csv", index=False)
    given = {"training": data, "items": tmp_path / "items.csv"}
    again = pc.jobs.train("popularity", given, progress=False).model()
    pd.testing.assert_frame_equal(
        again.recommend(k=8, where="taste == 1", exclude_seen=False), found
    )
    with pytest.raises(ParameterError, match="is a table with a row for each"):
        pc.jobs.train("popularity", {"training": data, "items": data}, progress=False)


def written(folder, inputs, hyperparameters=None):
    """Write the channels; return what they name, and the table of each."""
    said = write_channels(folder, inputs, hyperparameters)
    return said, {name: pq.read_table(folder / name / "part-0.parquet") for name in inputs}


def test_times_are_those_of_their_events(tmp_path):
    at = 1_300_000_000 + np.array([0, 86_400, 7, 3_600])
    events = pd.DataFrame({"u": [1, 1, 2, 2], "i": list("abab"), "at": at})
    data = pc.Interactions.from_frame(
        events, user="u", item="i", timestamp="at", timestamp_unit="s"
    )
    said, tables = written(tmp_path, {"training": data})
    assert said == {"user_column": "u", "item_column": "i", "timestamp_column": "at"}
    rows = zip(*(tables["training"][name].to_pylist() for name in ("u", "i")), strict=True)
    times = [time.timestamp() for time in tables["training"]["at"].to_pylist()]
    assert dict(zip(rows, times, strict=True)) == {
        (1, "a"): at[0], (1, "b"): at[1], (2, "a"): at[2], (2, "b"): at[3],
    }  # fmt: skip


def test_interactions_may_call_their_columns_otherwise(state):
    """One hyperparameter names a column in all channels: the later ones are renamed."""
    other = frame(held_out=True).rename(columns={"customer": "product", "product": "customer"})
    test = pc.Interactions.from_frame(other, user="product", item="customer")
    inputs = {"testing": test, "validation": test, "training": interactions()}
    job = pc.jobs.train("itemknn", inputs, progress=False)
    assert job.model().columns_ == interactions().columns
    assert job.summary()["test"]["recall@10"] == 1


def test_columns_that_only_the_test_has(tmp_path):
    """Training need not have them, and their names may mean something else there."""
    events = frame(held_out=True).set_axis(["u", "i"], axis=1).assign(customer=1.0)
    test = pc.Interactions.from_frame(events, user="u", item="i", value="customer")
    said, tables = written(tmp_path / "a", {"training": interactions(), "testing": test})
    assert said == {"user_column": "customer", "item_column": "product"}
    assert tables["testing"].column_names == ["customer", "product"]
    said, tables = written(tmp_path / "b", {"validation": interactions(), "testing": test})
    assert said == {"user_column": "customer", "item_column": "product"}


def test_names_that_are_given_stand(tmp_path):
    items = pd.DataFrame({"product": frame()["product"].unique()}).assign(taste=1)
    data = pc.Interactions.from_frame(frame(), user="customer", item="product", item_features=items)
    given = {"item_column": "sku", "factors": "8"}
    said, tables = written(tmp_path, {"training": data, "testing": data}, given)
    assert said == {"item_column": "sku", "user_column": "customer"}
    assert all(table.column_names == ["customer", "sku"] for table in tables.values())
    assert pq.read_schema(tmp_path / "items" / "part-0.parquet").names == ["sku", "taste"]


def test_a_file_may_be_rewritten_when_the_job_has_begun(state, tmp_path):
    """In place, as `to_csv` does: the job learns from what was there when it was started."""
    folder = tmp_path / "sales"
    folder.mkdir()
    frame().to_csv(folder / "a.csv", index=False)
    frame(held_out=True).to_csv(tmp_path / "test.csv", index=False)
    said = {"user_column": "customer", "item_column": "product"}
    inputs = {"training": folder, "testing": tmp_path / "test.csv"}
    job = pc.jobs.train("popularity", inputs, said, wait=False)
    kept = [job.folder / "input/data/training/a.csv", job.folder / "input/data/testing/test.csv"]
    before = [path.read_bytes() for path in kept]
    for path in (folder / "a.csv", tmp_path / "test.csv"):
        frame().iloc[:3].to_csv(path, index=False)
    assert [path.read_bytes() for path in kept] == before
    assert job.wait(progress=False).summary()["events"] == 200


@pytest.mark.parametrize("name", ["_sales.csv", ".sales.csv", "._"])
def test_a_file_that_was_named_is_read_whatever_its_name(state, tmp_path, name):
    frame().to_csv(tmp_path / name, index=False, header=False)
    job = pc.jobs.train("popularity", {"training": tmp_path / name}, progress=False)
    assert job.summary()["events"] == 200


def test_an_input_that_is_no_file(state, tmp_path):
    (tmp_path / "sales").mkdir()
    os.mkfifo(tmp_path / "sales" / "pipe.csv")
    for source in (tmp_path / "sales", tmp_path / "sales" / "pipe.csv"):
        with pytest.raises(DataError, match=r"pipe\.csv is not a plain file"):
            pc.jobs.train(inputs={"training": source}, name="piped")
    assert not (state / "jobs" / "piped").exists()


@pytest.mark.parametrize(
    ("said", "missing"),
    [({"user_column": "product"}, "item"), ({"item_column": "customer"}, "user")],
)
def test_names_that_mean_another_column(state, said, missing):
    with pytest.raises(ParameterError, match=f"{missing}_column is missing"):
        pc.jobs.train("popularity", {"training": interactions()}, said, progress=False)
