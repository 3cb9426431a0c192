from __future__ import annotations

import pickle
import warnings

import pytest

from penchant import errors

BUILT_INS = [
    (errors.DataError, ValueError),
    (errors.ParameterError, ValueError),
    (errors.ColumnError, KeyError),
    (errors.UnknownIdError, KeyError),
    (errors.NotFittedError, ValueError),
    (errors.NotFittedError, AttributeError),
    (errors.ArtifactError, ValueError),
    (errors.ArtifactNotFoundError, FileNotFoundError),
    (errors.ArtifactNotFoundError, errors.ArtifactError),
    (errors.ArtifactWriteError, OSError),
    (errors.ArtifactWriteError, errors.ArtifactError),
    (errors.UnsupportedError, NotImplementedError),
    (errors.RequestError, ValueError),
    (errors.MissingExtraError, ImportError),
]


@pytest.mark.parametrize(("error", "built_in"), BUILT_INS)
def test_errors_are_penchant_errors_and_the_expected_built_in(
    error: type[errors.PenchantError], built_in: type[Exception]
) -> None:
    with pytest.raises(errors.PenchantError):
        raise error("a sentence")
    with pytest.raises(built_in):
        raise error("a sentence")


@pytest.mark.parametrize("error", sorted({e for e, _ in BUILT_INS}, key=lambda e: e.__name__))
def test_message_is_shown_as_written_and_survives_pickling(
    error: type[errors.PenchantError],
) -> None:
    message = "column 'it's' is missing\nsecond line"
    assert str(error(message)) == message
    again = pickle.loads(pickle.dumps(error(message)))
    assert type(again) is error
    assert str(again) == message


def test_require_returns_the_module_and_names_the_extra() -> None:
    assert errors.require("json", "all").__name__ == "json"
    with pytest.raises(errors.MissingExtraError, match=r"pip install 'penchant\[plot\]'") as caught:
        errors.require("no_such_package_of_ours", "plot")
    assert caught.value.name == "no_such_package_of_ours"


def test_require_passes_on_a_failure_inside_the_package(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "half_installed"  # type: ignore[operator]
    package.mkdir()
    (package / "__init__.py").write_text("import its_missing_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="its_missing_dependency") as caught:
        errors.require("half_installed", "plot")
    assert not isinstance(caught.value, errors.MissingExtraError)


def test_notice_points_at_the_callers_line() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        errors.notice("three rows were dropped")
    assert [w.category for w in caught] == [errors.PenchantWarning]
    assert caught[0].filename == __file__


def test_choose_suggests_the_closest_option() -> None:
    errors.choose("unknown", "drop", ["error", "drop"])
    with pytest.raises(errors.ParameterError, match="did you mean 'popular'"):
        errors.choose("unknown", "Populer", ["error", "drop", "popular"])
    with pytest.raises(errors.ParameterError, match="unknown=None is not one of"):
        errors.choose("unknown", None, ["error", "drop"])


def test_closest_prefers_an_option_that_differs_in_case_only() -> None:
    assert "'CustomerID'" in errors.closest("customerid", ["Customer", "CustomerID"])
    assert errors.closest("q", ["Customer"]) == ""


def test_a_long_name_is_no_misspelling() -> None:
    """It may come from anybody and have millions of characters: it is compared with nothing."""
    assert errors.closest("CustomerI", ["CustomerID"])
    assert errors.closest("x" * 100, ["x" * 101])
    assert errors.closest("x" * 101, ["x" * 101]) == ""
