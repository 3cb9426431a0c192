"""Rules of hyperparameters that are models, or names."""

from __future__ import annotations

from dataclasses import dataclass

from penchant.models.ranker import Ranker


@dataclass(frozen=True)
class Model:
    """A model, fitted or not, an object of one of `others`, or None."""

    others: tuple[type, ...] = ()

    def accepts(self, value: object) -> bool:
        """Whether `value` is one."""
        return value is None or isinstance(value, (Ranker, *self.others))

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

    def describe(self) -> str:
        """Return the allowed values in words."""
        return "a list or tuple of names, or None"
