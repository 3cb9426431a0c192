"""`penchant endpoints`: nothing but files ties one command to the next."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import penchant as pc
from endpoint_support import damaged, version_of
from penchant.cli.app import app
from penchant.endpoints.state import locked_name


def penchant(*arguments):
    return CliRunner().invoke(app, ["endpoints", *map(str, arguments)])


def test_a_life(home, artifacts, tmp_path):
    done = penchant("deploy", artifacts[0], "--name", "shop", "--expires", "1h")
    assert done.exit_code == 0, done.output
    version = version_of(artifacts[0])
    assert done.stdout.startswith("shop is in service on http://127.0.0.1:")
    assert done.stdout.endswith(f"with version {version}\n")

    (shown,) = json.loads(penchant("list", "--json").stdout)
    assert (shown["name"], shown["status"], shown["version"]) == ("shop", "InService", version)
    assert shown["expires"]
    assert shown["url"] in penchant("list").stdout

    assert penchant("update", "shop", artifacts[1]).exit_code == 0
    failed = penchant("update", "shop", damaged(artifacts[0], tmp_path / "damaged"))
    assert failed.exit_code == 2
    assert "checksum" in failed.output
    assert version_of(artifacts[1]) in penchant("list").stdout

    assert penchant("logs", "shop", "-n", "1").stdout.startswith("serving BPR")
    command = [sys.executable, "-m", "penchant", "endpoints", "logs", "shop", "--follow"]
    follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    seen = [follower.stdout.readline() for _ in range(2)]  # it is there before the end comes
    assert seen[1].startswith("serving BPR")
    assert penchant("stop", "shop").stdout == "stopped shop\n"
    assert "it was told to stop" in penchant("list").stdout
    assert penchant("delete", "shop").stdout == "deleted shop\n"
    assert "it was told to stop" in follower.communicate()[0]  # and it ends with the endpoint
    assert follower.returncode == 0
    assert penchant("list").stdout.startswith("no endpoints")


def test_the_router(home):
    assert penchant("router", "--port", "0").stdout.startswith("the router is in service on http")
    assert penchant("router").exit_code == 0
    assert penchant("router", "--stop").stdout == "stopped the router\n"


def test_who_waits_for_a_name_is_told_so(home, artifacts):
    """As long as somebody deploys it, say."""
    pc.deploy(artifacts[0], "busy", progress=False)
    with locked_name("endpoint", "busy"):
        command = [sys.executable, "-m", "penchant", "endpoints", "delete", "busy"]
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = waiting.stderr.readline().decode()
        assert waiting.poll() is None
    assert said.startswith(f"endpoint 'busy' is being started or changed by process {os.getpid()}:")
    assert waiting.communicate(timeout=300) == (b"deleted busy\n", b"")
    assert waiting.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["logs", "shap"], "no endpoint 'shap'"),
        (["delete", "shap"], "no endpoint 'shap'"),
        (["deploy", "nowhere", "--name", "x"], "no Penchant artifact"),
        (["deploy", "nowhere", "--name", "../x"], "no name"),
        (["deploy", "nowhere", "--name", "x", "--expires", "soon"], "expires='soon'"),
        (["deploy", "nowhere", "--name", "x", "--filter", "pens"], "NAME=EXPRESSION"),
    ],
)
def test_mistakes_are_one_line(home, arguments, words):
    done = penchant(*arguments)
    assert done.exit_code == 2
    assert words in done.output
    assert len(done.output.splitlines()) == 1
