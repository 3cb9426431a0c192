"""Rules of hyperparameters that are models, or names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penchant.errors import ParameterError
from penchant.models.named import find_class
from penchant.models.ranker import Ranker

_NOTHING = ("none", "null")


@dataclass(frozen=True)
class Model:
    """A model, fitted or not, an object of one of `others`, or None."""

    others: tuple[type, ...] = ()

    def accepts(self, value: object) -> bool:
        """Whether `value` is one."""
        return value is None or isinstance(value, (Ranker, *self.others))

    def read(self, text: str) -> Any:
        """Return a model of the class that a text names; the text where there is none."""
        if text.lower() in _NOTHING:
            return None
        for other in self.others:
            if other.__name__.lower() == text.lower():
                return other()
        return _named(text)

    def describe(self) -> str:
        """Return the allowed values in words."""
        names = "".join(f" or {other.__name__}(...)" for other in self.others)
        return f"a model such as IALS(factors=64){names}, or None"


@dataclass(frozen=True)
class Models:
    """A list or tuple of models."""

    def accepts(self, value: object) -> bool:
        """Whether `value` is one."""
        return isinstance(value, list | tuple) and all(isinstance(part, Ranker) for part in value)

    def read(self, text: str) -> Any:
        """Return models of the classes that a text such as ``itemknn, ease`` names."""
        return [_named(name) for name in _split(text)]

    def describe(self) -> str:
        """Return the allowed values in words."""
        return "a list or tuple of models such as [ItemKNN()]"


@dataclass(frozen=True)
class Names:
    """A list or tuple of texts, or None."""

    def accepts(self, value: object) -> bool:
        """Whether `value` is one."""
        if value is None:
            return True
        return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)

    def read(self, text: str) -> Any:
        """Return the names in a text such as ``genre, year``."""
        return None if text.lower() in _NOTHING else _split(text)

    def describe(self) -> str:
        """Return the allowed values in words."""
        return "a list or tuple of names, or None"


def _split(text: str) -> list[str]:
    parts = (part.strip(" '\"") for part in text.strip("()[] ").split(","))
    return [part for part in parts if part]


def _named(name: str) -> Any:
    try:
        return find_class(name)()
    except ParameterError:
        return name
