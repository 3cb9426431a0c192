"""`penchant config` and `penchant.show_config()`."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import penchant
from penchant.config import Config, read_config


def test_object_says_it_all():
    config = read_config()
    assert config.version == penchant.__version__
    assert config.compiler.split()[0] in ("gcc", "clang")
    assert config.isa in config.isas_available
    assert "baseline" in config.isas_available
    assert config.threads >= 1
    assert config.packages["numpy"] == np.__version__


def test_show_config_prints_once_and_returns_nothing(capsys):
    assert penchant.show_config() is None  # a notebook has nothing to show a second time
    assert capsys.readouterr().out == f"{read_config()!r}\n"


def test_nothing_is_printed_and_the_repr_has_every_fact(capsys):
    config = read_config()
    assert capsys.readouterr().out == ""
    for text in (repr(config), config._repr_html_()):
        for fact in (config.version, config.compiler, config.isa, str(config.threads), "narwhals"):
            assert fact in text


def test_html_is_escaped():
    values = read_config().as_dict() | {"compiler": "gcc <b>"}
    assert "gcc &lt;b&gt;" in Config(**values)._repr_html_()


def test_facts_of_the_build_are_those_the_core_reports(monkeypatch):
    facts = {"compiler": "gcc 12", "eigen": "3.4.0"}
    monkeypatch.setattr("penchant._core.build_info", lambda: facts)
    text = repr(read_config())
    assert re.search(r"^  eigen +3\.4\.0$", text, re.MULTILINE)
    assert "pybind11" not in text


def test_missing_packages_are_named_with_their_extra(monkeypatch):
    monkeypatch.setattr("penchant.config._version", lambda name: None)
    config = read_config()
    assert config.optional["matplotlib"] is None
    assert "matplotlib not found (pip install 'penchant[plot]')" in repr(config)
    assert "numpy MISSING" in repr(config)


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "PENCHANT_NUM_THREADS"])
def test_thread_settings_are_honoured_and_shown(process, monkeypatch, variable):
    monkeypatch.delenv("PENCHANT_NUM_THREADS", raising=False)
    monkeypatch.setenv(variable, "1")
    found = json.loads(process("config", "--json").stdout)
    assert found["threads"] == 1
    assert found["environment"][variable] == "1"


def test_a_forced_isa_is_shown(process, monkeypatch):
    monkeypatch.setenv("PENCHANT_ISA", "baseline")
    found = json.loads(process("config", "--json").stdout)
    assert found["isa"] == "baseline"


def test_the_command_prints_the_same(cli):
    config = read_config()
    assert cli("config").stdout == repr(config) + "\n"
    assert json.loads(cli("config", "--json").stdout) == json.loads(config.to_json())
