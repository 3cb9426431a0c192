"""What hyperparameters and channels may hold, and what is said about those that hold it not."""

from __future__ import annotations

import gzip
import io
import os

import pandas as pd
import pytest
from trees import csv_text, make_tree, rows

import penchant as pc
from penchant.container.channels import Plan, read_channel
from penchant.container.settings import read_settings
from penchant.container.training import train
from penchant.container.tree import Tree
from penchant.errors import ColumnError, DataError, MissingFileError, ParameterError


@pytest.fixture
def refused(tmp_path, capsys):
    """Train on a tree that cannot be trained on; return the reason."""

    def check(hyperparameters=None, channels=None, **configs):
        root = make_tree(tmp_path / "ml", hyperparameters, channels, **configs)
        assert train(root) == 1
        reason = (root / "output" / "failure").read_text()
        assert "Traceback" not in reason
        assert "unexpected" not in reason
        assert len(reason) < 1024
        assert reason in capsys.readouterr().out
        return reason

    return check


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"model": "bpt"}, "hyperparameter model: no model 'bpt', did you mean 'bpr'"),
        ({"factor": "3"}, "no hyperparameter 'factor', did you mean 'factors'"),
        ({"usercolumn": "a"}, "no hyperparameter 'usercolumn', did you mean 'user_column'"),
        ({"factors": "8.5"}, "BPR: factors must be an integer from 1 to 2048, got '8.5'"),
        ({"factors": ""}, "factors must be an integer"),
        ({"factors": "9" * 500}, "factors must be an integer"),
        ({"learning_rate": "fast"}, "learning_rate must be a number > 0"),
        ({"learning_rate": "nan"}, "learning_rate must be a number > 0"),
        ({"use_biases": "yes"}, "use_biases must be True or False, got 'yes'"),
        ({"negatives": "hard"}, "negatives must be one of"),
        ({"factors": ["8"]}, "hyperparameter 'factors' must be a string"),
        ({"k": "0"}, "hyperparameter k must be an integer from 1 to 100000, got '0'"),
        ({"validation": "1"}, "hyperparameter validation must be a number"),
        ({"metrics": "precison"}, "did you mean 'precision@10'"),
        ({"metrics": "rmse"}, "BPR does not estimate ratings"),
        ({"patience": "3"}, "patience needs held-out data"),
        ({"header": "maybe"}, "header must be one of 'auto', 'true', 'false'"),
        ({"delimiter": "ab"}, "delimiter must be one character"),
        ({"timestamp_unit": "h"}, "timestamp_unit must be one of"),
        ({"query": "SELECT 1"}, "query is about a database: give its data_url too"),
        ({"data_url": "duckdb:///x"}, "data_url needs a table or a query"),
        ({"factors__x": "1"}, "factors=64 has no parameters of its own"),
    ],
)
def test_wrong_hyperparameters(refused, hyperparameters, message):
    assert message in refused(hyperparameters)


def test_hyperparameters_as_the_sdk_writes_them():
    settings = read_settings(
        {"model": '"svd"', "rating_scale": "[1, 5]", "num_threads": "None", "epochs": 3,
         "sagemaker_program": '"train.py"', "_tuning_objective_metric": "ndcg_at_10"}
    )  # fmt: skip
    assert settings.model.get_params()["rating_scale"] == (1, 5)
    assert settings.model.get_params()["num_threads"] is None
    assert settings.metrics == ["rmse", "mae"]


def test_a_model_of_models():
    settings = read_settings({"model": "pipeline", "retrieve": "bpr", "retrieve__factors": "4"})
    assert settings.model.retrieve == pc.BPR(factors=4) or (
        settings.model.retrieve.get_params()["factors"] == 4
    )


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({}, "the channel 'training' is missing"),
        ({"testing": {"a.csv": "1,2\n"}}, "the channel 'training' is missing; there are testing"),
        ({"train": {"a.csv": "1,2\n"}}, "no use for a channel 'train', did you mean 'training'"),
        ({"training": {"a.csv": ""}}, "the channel 'training' has no file with anything in it"),
        ({"training": {".a": "1,2", "_SUCCESS": ""}}, "in it; passed over, as names that "
         "begin with '.' or '_' are: .a, _SUCCESS"),
        ({"training": {"_old/a.csv": "1,2"}}, "or '_' are: _old/a.csv"),
        ({"training": {"a.csv": "\n\n"}}, "training/a.csv has no rows"),
        ({"training": {"a.csv": "a," * 200_000}}, "training/a.csv has over 100,000 columns"),
        ({"training": {"a.csv": gzip.compress(b"a," * 200_000)}}, "a.csv has over 100,000 columns"),
        ({"training": {"a.csv": "user_id,item_id\n"}}, "has no rows"),
        ({"training": {"a.csv": "1\n2\n"}}, "training/a.csv has 1 columns"),
        ({"training": {"a.csv": "1;2\n2;3\n"}}, "hyperparameter delimiter=';'"),
        ({"training": {"a.csv": "1,2,3,4,5\n"}}, "training/a.csv has 5 columns"),
        ({"training": {"a.csv": "1,2\n1,2,3\n"}}, "training/a.csv is not readable as CSV"),
        ({"training": {"a.csv": "1,2,x\n1,2,3\n"}}, "looks like one of names"),
        ({"training": {"a.csv": "1,2,3\n1,2,x\n"}}, "training/a.csv is not readable as CSV"),
        ({"training": {"a.csv": "userId,movieId\n1,2\n"}}, "set the hyperparameters user_column"),
        ({"training": {"a.csv": b"5,a\n6,\xff\n"}}, "training/a.csv is not readable as CSV"),
        ({"training": {"a.csv": b"1,\x00\n"}}, "training/a.csv is no text"),
        ({"training": {"a.csv.gz": b"\x1f\x8bnonsense"}}, "training/a.csv.gz cannot be read"),
        ({"training": {"a.parquet": "PAR1 and no more"}}, "is not a readable Parquet file"),
        ({"training": {"a.xlsx": "x"}}, "training/a.xlsx is neither Parquet"),
        ({"training": {"a.csv": "1,2\n", "b.csv": "1,2,3\n"}}, "have different columns"),
        ({"training": {"a.csv": "1,2\n", "b.csv": "user_id,item_id\n1,2\n"}},
         "training/b.csv has a row of names, unlike others"),
        ({"training": {"a.csv": "1,2,-3\n2,2,1\n"}}, "negative"),
    ],
)  # fmt: skip
def test_wrong_channels(refused, channels, message):
    assert message in refused({"model": "popularity"}, channels)


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ({"resourceconfig": {"hosts": ["a", "b"]}}, "2 hosts are to train"),
        ({"inputdataconfig": {"training": {"TrainingInputMode": "Pipe"}}}, "input mode 'Pipe'"),
        ({"inputdataconfig": {"../../etc": {}}}, "no use for a channel '../../etc'"),
        ({"inputdataconfig": {"testing": {}}}, "the channel 'testing' is missing"),
        ({"inputdataconfig": []}, "inputdataconfig.json must hold an object"),
    ],
)
def test_wrong_configs(refused, configs, message):
    assert message in refused({"model": "popularity"}, **configs)


def test_a_config_that_is_no_json(tmp_path):
    root = make_tree(tmp_path)
    (root / "input" / "config" / "hyperparameters.json").write_text("{")
    with pytest.raises(DataError, match=r"hyperparameters.json is not JSON"):
        Tree(root).config("hyperparameters")


def test_links_that_lead_out(tmp_path):
    (tmp_path / "secret.csv").write_text("root,password\n")
    (tmp_path / "folder").mkdir()
    for target in ("secret.csv", "folder", "missing"):
        folder = tmp_path / f"to {target}" / "training"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text("1,2\n")
        (folder / "link").symlink_to(tmp_path / target)
        with pytest.raises(
            DataError, match=r"training/link is a link that leads out of the channel"
        ):
            read_channel(folder, Plan({}))


def test_links_within_and_what_is_no_file(tmp_path):
    folder = tmp_path / "training"
    folder.mkdir()
    (folder / "a.csv").write_text("1,2\n")
    (folder / "b.csv").symlink_to("a.csv")
    assert read_channel(folder, Plan({}))[0].num_rows == 2
    os.mkfifo(folder / "c.csv")
    with pytest.raises(DataError, match=r"training/c.csv is not a plain file"):
        read_channel(folder, Plan({}))


def read(tmp_path, files, **plan):
    folder = tmp_path / "training"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_channel(folder, Plan(plan.pop("columns", {}), **plan))


def test_columns_by_place_and_by_name(tmp_path):
    table, columns = read(tmp_path, {"a": "7,MUG,2,2024-01-01\n8,TÊTE,,2024-01-02\n"})
    assert table.column_names == ["user_id", "item_id", "value", "timestamp"]
    assert table["user_id"].to_pylist() == [7, 8]
    assert table["value"].to_pylist() == [2.0, None]
    assert columns["timestamp"] == "timestamp"


def test_names_in_another_order(tmp_path):
    text = "\ufeffother,item_id,user_id\n1,MUG,7\n"
    table, columns = read(tmp_path, {"a.csv": text})
    assert table.to_pydict() == {"user_id": [7], "item_id": ["MUG"]}
    assert columns == {"user": "user_id", "item": "item_id"}


def test_one_text_id_keeps_all_of_them_text(tmp_path):
    table, _ = read(tmp_path, {"a.csv": "1,2\n", "b.csv.gz": gzip.compress(b"007,3\n")})
    assert table["user_id"].to_pylist() == ["1", "007"]
    assert table["item_id"].to_pylist() == [2, 3]


def test_header_and_delimiter_that_are_said(tmp_path):
    plan = {"columns": {"user": "u", "item": "i"}, "header": "false", "delimiter": ";"}
    table, columns = read(tmp_path, {"a.csv": "user;x\n1;y\n"}, **plan)
    assert table.to_pydict() == {"u": ["user", "1"], "i": ["x", "y"]}
    assert columns["user"] == "u"


def test_a_content_type_says_whether_there_are_names(tmp_path):
    folder = tmp_path / "training"
    folder.mkdir()
    (folder / "part-0000").write_text("userid,item\n")
    settings = {"ContentType": "text/csv; header=absent"}
    assert read_channel(folder, Plan({}), settings)[0].to_pydict() == {
        "user_id": ["userid"],
        "item_id": ["item"],
    }


def test_columns_that_are_missing(tmp_path):
    with pytest.raises(ColumnError, match=r"no column 'Kunde', did you mean 'kunde'.*user_column"):
        read(tmp_path, {"a.csv": "kunde,item_id\n1,2\n"}, columns={"user": "Kunde"})
    buffer = io.BytesIO()
    pd.DataFrame({"a": [1]}).to_parquet(buffer)
    (tmp_path / "training" / "a.csv").unlink()
    (tmp_path / "training" / "b.parquet").write_bytes(buffer.getvalue())
    with pytest.raises(ColumnError, match=r"no column 'user_id'. Columns: a; the hyperparameter"):
        read_channel(tmp_path / "training", Plan({}))


def test_a_channel_that_is_not_there(tmp_path):
    with pytest.raises(MissingFileError, match="the channel 'training' is missing"):
        read_channel(tmp_path / "training", Plan({}))


def test_two_sources(refused):
    said = {"data_url": "duckdb:///x.db", "table": "t"}
    assert "a channel 'training' and a data_url" in refused(said)


def test_two_validations(refused):
    channels = {name: {"a.csv": csv_text(rows())} for name in ("training", "validation")}
    assert "a channel 'validation' and a share" in refused({"validation": "0.1"}, channels)


def test_a_full_model_folder(refused, tmp_path):
    (tmp_path / "ml" / "model").mkdir(parents=True)
    (tmp_path / "ml" / "model" / "mine.txt").write_text("x")
    assert "holds files and no model" in refused({"model": "popularity"})


def test_all_the_rules_read_texts():
    with pytest.raises(ParameterError, match=r"SVD: rating_scale must be .* got \(1.0,\)"):
        pc.SVD.from_texts({"rating_scale": "1"})
    with pytest.raises(ParameterError, match=r"SVD: rating_scale must be .* got \(5.0, 1.0\)"):
        pc.SVD.from_texts({"rating_scale": "5, 1"})
    assert pc.BPR.from_texts({"factors": "32.0", "learning_rate": "1e-2"}).factors == 32
    with pytest.raises(ParameterError, match=r"retrieve must be a model such as .* got 'bpx'"):
        pc.Pipeline.from_texts({"retrieve": "bpx"})


NAMES = [f"taste {taste} item {item}" for taste in (0, 1) for item in range(8)]


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_tables_of_items_and_users(tmp_path, kind):
    items = pd.DataFrame({"item_id": NAMES, "taste": [0] * 8 + [1] * 8})
    users = pd.DataFrame({"user_id": [f"0{user}" for user in range(17000, 17040)], "age": 40})
    events = "".join(f"0{user},{item}\n" for user, item in rows())
    root = make_tree(tmp_path, {"model": "popularity"}, {"training": {"a.csv": events}})
    for name, table in (("items", items), ("users", users)):
        path = root / "input" / "data" / name / f"a.{kind}"
        path.parent.mkdir()
        if kind == "parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    assert train(root) == 0
    model = pc.load(root / "model")
    asked = {"where": "taste == 0", "with_columns": ["taste"], "exclude_seen": False}
    found = model.recommend("017001", k=8, **asked)
    assert set(found["taste"]) == {0}
    assert len(found) == 8
    audience = model.recommend_users(where="taste == 0", k=3, with_columns=["age"])
    assert audience["age"].tolist() == [40] * 3


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.csv": "item,taste\nx,1\n"}, "items/a.csv has no column 'item_id'"),
        ({"a.csv": "item_id,taste\nx,1,2\n"}, "items/a.csv cannot be read"),
        ({"a.csv": ""}, "the channel 'items' has no file with anything in it"),
        ({"a.csv": "\n\n"}, "items/a.csv has no rows"),
        ({"a.csv": "item_id," * 200_000}, "items/a.csv has over 100,000 columns"),
        ({"a.csv": b"item_id,name\nx,M\xfcsli\n"},
         "items/a.csv cannot be read: the column 'name' is not UTF-8 text"),
        ({"a.csv": b"item_id,name\nM\xfcsli,1\n"}, "items/a.csv cannot be read"),
        ({"a.csv": b"item_id,n\xe4me\nx,1\n"},
         "items/a.csv cannot be read: its names are not UTF-8 text"),
        ({"a.csv": b"item_id,t\nx,\x00\n"}, "items/a.csv is no text"),
        ({"a.csv.gz": b"\x1f\x8bnonsense"}, "items/a.csv.gz cannot be read"),
        ({"a.csv": "item_id, item_id \nx,1\n"}, "items/a.csv has 2 columns named 'item_id'"),
        ({"a.csv": "item_id,t\nx,1\n,2\n"}, "items/a.csv has no 'item_id' in row 2"),
        ({"a.csv": 'item_id,t\n"",1\n'}, "items/a.csv has no 'item_id' in row 1"),
        ({"a.dat": "item_id,t\nx,1\n"}, "items/a.dat is neither Parquet"),
        ({"a.parquet": "no"}, "items/a.parquet cannot be read"),
        ({"a.csv": "item_id,t\nx,1\nx,2\n"}, "more than one row for item_id 'x'"),
        ({"a.csv": "item_id,t\nx,1\n", "b.csv": "item_id,t\ny,z\n"}, "do not match"),
        ({".a.csv": "item_id,t\nx,1\n"}, "the channel 'items' has no file"),
    ],
)  # fmt: skip
def test_wrong_tables_of_items(refused, files, message):
    events = {"a.csv": "1,x\n2,y\n"}
    assert message in refused({"model": "popularity"}, {"training": events, "items": files})


def items_of(tmp_path, text, hyperparameters=None, **channels):
    """Train with a file of items, and return the table that the model has of them."""
    events = {"a.csv": "1,x\n2,y\n", "b.csv": ""}
    channels = {"training": events, "items": {"a.csv": text, "b.csv": ""}, **channels}
    root = make_tree(tmp_path, {"model": "popularity", **(hyperparameters or {})}, channels)
    assert train(root) == 0
    found = pc.load(root / "model").recommend(k=2, exclude_seen=False, with_columns=["price"])
    return dict(zip(found["item_id"], found["price"], strict=True))


def test_names_with_spaces_and_empty_files(tmp_path, capsys):
    assert items_of(tmp_path, "item_id , price\nx,1\ny,2\n") == {"x": 1, "y": 2}
    assert "note: items/b.csv is empty" in capsys.readouterr().out


def test_a_delimiter_is_one_of_all_channels(tmp_path):
    events = {"a.csv": "1;x\n2;y\n"}
    text = "item_id;price\nx;1\ny;2\n"
    assert items_of(tmp_path, text, {"delimiter": ";"}, training=events) == {"x": 1, "y": 2}


def test_a_content_type_says_what_a_table_of_items_is(tmp_path, refused):
    files = {"a.dat": "item_id,price\nx,1\ny,2\n"}
    channels = {"training": {"a.csv": "1,x\n2,y\n"}, "items": files}
    said = {"training": {}, "items": {"ContentType": "text/csv"}}
    root = make_tree(tmp_path / "csv", {"model": "popularity"}, channels, inputdataconfig=said)
    assert train(root) == 0
    said = {"training": {}, "items": {"ContentType": "application/x-parquet"}}
    reason = refused({"model": "popularity"}, channels, inputdataconfig=said)
    assert "items/a.dat cannot be read: " in reason
    assert "Parquet magic bytes not found" in reason


def test_a_table_of_thousands_of_columns(tmp_path):
    names = [f"feature number {place}" for place in range(6000)]
    table = f"{','.join(names)},item_id\n{'1,' * 6000}x\n"
    channels = {"training": {"a.csv": "1,x\n2,x\n"}, "items": {"a.csv": table}}
    root = make_tree(tmp_path, {"model": "popularity"}, channels)
    assert train(root) == 0
    assert len(pc.load(root / "model").recommend("1", k=1, exclude_seen=False)) == 1
