"""Training data out of databases, and the secrets that open them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import stat
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from trees import make_tree, rows, run

import penchant as pc
from penchant.errors import DataError, MissingExtraError, MissingFileError, ParameterError
from penchant.warehouse import credentials
from penchant.warehouse.connections import connect, select
from refusing_postgres import refusing_postgres

PASSWORD = "hunter2 & co"


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute('CREATE TABLE "my sales" (user_id, item_id)')
        db.executemany('INSERT INTO "my sales" VALUES (?, ?)', rows())
        db.commit()
    return path


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize("said", [{"table": "my sales"}, {"query": 'SELECT * FROM "my sales"'}])
def test_a_job_on_a_file(tmp_path, shop, kind, said):
    if kind == "duckdb":
        duckdb = pytest.importorskip("duckdb")
        shop = tmp_path / "shop.duckdb"
        with contextlib.closing(duckdb.connect(str(shop))) as db:
            db.execute('CREATE TABLE "my sales" (user_id BIGINT, item_id VARCHAR)')
            db.executemany('INSERT INTO "my sales" VALUES (?, ?)', rows())
    url = f"{kind}:///{shop.relative_to('/')}" if kind == "duckdb" else f"{kind}:///{shop}"
    hyperparameters = {"model": "popularity", "data_url": url, **said}
    done = run("train", make_tree(tmp_path / "ml", hyperparameters, channels={}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training: 200 events, 40 users, 16 items" in done.stdout
    assert len(pc.load(tmp_path / "ml" / "model").users_) == 40


def test_a_database_is_not_written_to(shop):
    refused = pytest.raises(sqlite3.OperationalError, match="readonly")
    with contextlib.closing(connect(f"sqlite:///{shop}")) as db, refused:
        db.execute("DELETE FROM 'my sales'")


@pytest.mark.parametrize(
    ("url", "secret", "message"),
    [
        ("postgresql://me:hunter2@host/shop", None, "data_url holds a password"),
        ("postgresql://host/shop?password=hunter2", None, "data_url holds a password"),
        ("postgresql://host/shop?sslmod=x", None, "data_url has the option 'sslmod'"),
        ("postgresql:///shop", None, "must be postgresql://USER@HOST/NAME"),
        ("postgresql://host:port/shop", None, "data_url is not a URL"),
        ("mysql://host/shop", None, "of the kind 'mysql'"),
        ("shop.db", None, "of the kind 'none'"),
        ("snowflake://me:hunter2@acc/shop", None, "data_url holds a password"),
        ("snowflake://me@acc/shop?warehouze=x", None, "data_url has the option 'warehouze'"),
        ("snowflake://me@acc/shop?login_timeout=x", None, "login_timeout must be whole seconds"),
        ("snowflake://me@acc", None, "must be snowflake://USER@ACCOUNT/DATABASE/SCHEMA"),
        ("snowflake://me@acc:443/shop", None, "must be snowflake://USER@ACCOUNT/DATABASE/SCHEMA"),
        ("snowflake://me@acc/a/b/c", None, "must be snowflake://USER@ACCOUNT/DATABASE/SCHEMA"),
        ("snowflake://me@acc/shop", "env:NOT_THERE", "has no variable NOT_THERE"),
        ("sqlite://shop.db", None, "must name a file"),
        ("sqlite:///", None, "must name a file"),
        ("sqlite:///missing.db", None, "there is no database file missing.db"),
        ("sqlite:///missing.db", "env:X", "has no password: leave out secret"),
        ("postgresql://me@host/shop", "hunter2", "secret must say where it is, as env:NAME"),
        ("postgresql://me@host/shop", "vault:x", "secret must say where it is, as env:NAME"),
        ("postgresql://me@host/shop", "env:NOT_THERE", "has no variable NOT_THERE"),
        ("postgresql://me@host/shop", "file:/not/there", "there is no file /not/there"),
    ],
)
def test_wrong_sources(url, secret, message):
    with pytest.raises((ParameterError, MissingFileError, DataError)) as caught:
        connect(url, secret)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("snowflake://me@myorg-shop/SHOP", {"account": "myorg-shop", "database": "SHOP"}),
        (
            "snowflake://a%40b@ab123.eu-west-1/shop/public?warehouse=small&role=x&login_timeout=9",
            {
                "account": "ab123.eu-west-1", "user": "a@b", "database": "shop", "login_timeout": 9,
                "schema": "public", "warehouse": "small", "role": "x",
            },
        ),
    ],
)  # fmt: skip
def test_what_snowflake_is_told(monkeypatch, url, told):
    """Only how the URL is read: no account of Snowflake is at hand to ask."""
    got = []
    package, module = types.ModuleType("snowflake"), types.ModuleType("snowflake.connector")
    module.connect = lambda **said: got.append(said)
    monkeypatch.setitem(sys.modules, "snowflake", package)
    monkeypatch.setitem(sys.modules, "snowflake.connector", module)
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    connect(url, "env:SHOP_PASSWORD")
    assert got == [{"user": "me", "password": PASSWORD, **told}]
    connect(url)
    assert "password" not in got[1]


def test_snowflake_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "snowflake", None)
    monkeypatch.setitem(sys.modules, "snowflake.connector", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'penchant\[snowflake\]'"):
        connect("snowflake://me@myorg-shop/shop")


def test_names_are_quoted():
    assert select('a"; DROP TABLE b', ['c"d']) == 'SELECT "c""d" FROM "a""; DROP TABLE b"'
    with pytest.raises(ParameterError, match="table must be a name"):
        select("shop.", ["a"])


@pytest.fixture
def forgetful(monkeypatch):
    monkeypatch.setattr(credentials, "_hidden", [])


@pytest.mark.usefixtures("forgetful")
def test_secrets_of_files(tmp_path):
    path = tmp_path / "secret"
    path.write_text(json.dumps({"username": "me", "password": PASSWORD}) + "\n")
    path.chmod(stat.S_IRUSR)
    found = credentials.read_secret(f"file:{path}")
    assert (found.username, found.password) == ("me", PASSWORD)
    assert PASSWORD not in repr(found)
    assert credentials.hide(f"could not log in with {PASSWORD}!") == "could not log in with ***!"
    path.chmod(0o600)
    path.write_text("\n")
    with pytest.raises(DataError, match="is empty"):
        credentials.read_secret(f"file:{path}")
    path.write_text('{"user": "me"}')
    with pytest.raises(DataError, match="without a 'password'"):
        credentials.read_secret(f"file:{path}")


def test_no_secret_in_the_log_or_the_failure(tmp_path):
    """The server repeats the password: the driver's message goes through, and that does not."""
    pytest.importorskip("psycopg")
    with refusing_postgres() as url:
        said = {"data_url": url, "table": "sales", "secret": "env:SHOP_PASSWORD"}
        root = make_tree(tmp_path, {"model": "popularity", **said}, channels={})
        done = run("train", root, SHOP_PASSWORD=PASSWORD)
    assert done.returncode == 1
    failure = (root / "output" / "failure").read_text()
    assert failure.startswith("the database cannot be opened: ")
    assert "this is not the password: ***" in failure
    assert "this is not the password: ***" in done.stdout
    assert PASSWORD not in failure + done.stdout + done.stderr


@pytest.fixture
def secrets_manager(monkeypatch):
    """AWS Secrets Manager's protocol on a port of this machine; boto3 does not know better."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            known = asked["SecretId"].endswith("shop-abc")
            document = {"SecretString": json.dumps({"username": "me", "password": PASSWORD})}
            if not known:
                document = {"__type": "ResourceNotFoundException", "message": "no such secret"}
            body = json.dumps(document).encode()
            self.send_response(200 if known else 400)
            self.send_header("content-type", "application/x-amz-json-1.1")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    pytest.importorskip("boto3")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        place = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", place)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("forgetful", "secrets_manager")
def test_secrets_of_aws():
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:{}"
    found = credentials.read_secret(f"aws:{arn.format('shop-abc')}")
    assert (found.username, found.password) == ("me", PASSWORD)
    with pytest.raises(DataError, match=r"did not give the secret .*no such secret"):
        credentials.read_secret(f"aws:{arn.format('other')}")
