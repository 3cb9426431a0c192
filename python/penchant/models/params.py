"""Hyperparameters: declared once in a model's constructor, checked by the rules beside it."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from penchant.errors import ParameterError

ParamsT = TypeVar("ParamsT", bound="Parameterized")


class Rule(Protocol):
    """What values a hyperparameter may take."""

    def accepts(self, value: object) -> bool:
        """Whether `value` is allowed."""
        ...

    def describe(self) -> str:
        """Return the allowed values in words, to follow 'must be'."""
        ...


@dataclass(frozen=True)
class Integer:
    """A whole number in ``[low, high]``, or None where `optional`."""

    low: int
    high: int
    optional: bool = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is allowed; True and False are not numbers here."""
        if value is None:
            return self.optional
        return (
            isinstance(value, numbers.Integral)
            and not isinstance(value, bool)
            and self.low <= int(value) <= self.high
        )

    def describe(self) -> str:
        """Return the allowed values in words."""
        return f"an integer from {self.low} to {self.high}" + (" or None" if self.optional else "")


@dataclass(frozen=True)
class Real:
    """A finite number from `low` to `high`; `low` itself is left out where marked open."""

    low: float
    high: float = math.inf
    open_low: bool = False
    optional: bool = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is allowed; True and False are not numbers here."""
        if value is None:
            return self.optional
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            return False
        number = float(value)
        above = number > self.low if self.open_low else number >= self.low
        return math.isfinite(number) and above and number <= self.high

    def describe(self) -> str:
        """Return the allowed values in words."""
        text = f"a number {'>' if self.open_low else '>='} {self.low:g}"
        if math.isfinite(self.high):
            text += f" and <= {self.high:g}"
        return text + (" or None" if self.optional else "")


@dataclass(frozen=True)
class Choice:
    """One of a few names."""

    names: tuple[str, ...]

    def accepts(self, value: object) -> bool:
        """Whether `value` is one of the names."""
        return isinstance(value, str) and value in self.names

    def describe(self) -> str:
        """Return the allowed names."""
        return "one of " + ", ".join(repr(name) for name in self.names)


@dataclass(frozen=True)
class Pair:
    """Two finite numbers, the smaller first, as a tuple; or None."""

    def accepts(self, value: object) -> bool:
        """Whether `value` is allowed; True and False are not numbers here."""
        if value is None:
            return True
        if not isinstance(value, tuple) or len(value) != 2:
            return False
        number = Real(-math.inf)
        return all(number.accepts(part) for part in value) and value[0] < value[1]

    def describe(self) -> str:
        """Return the allowed values in words."""
        return "a tuple (low, high) of numbers, low < high, or None"


@dataclass(frozen=True)
class Flag:
    """True or False."""

    def accepts(self, value: object) -> bool:
        """Whether `value` is a plain bool."""
        return isinstance(value, bool)

    def describe(self) -> str:
        """Return the allowed values in words."""
        return "True or False"


class Parameterized:
    """Named hyperparameters with scikit-learn's `get_params`, `set_params` and `repr` protocol.

    A subclass declares its hyperparameters as keyword-only arguments of ``__init__``, stores each
    one unchanged under its own name (so that ``sklearn.base.clone`` works), lists what they may be
    in `_rules` and ends its constructor with ``self._check_params()``.
    """

    _rules: ClassVar[Mapping[str, Rule]] = {}

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        signature = inspect.signature(cls.__init__)
        return {
            name: parameter.default
            for name, parameter in signature.parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the hyperparameters by name.

        Parameters
        ----------
        deep : bool, default True
            Accepted for scikit-learn's sake; there are no nested estimators.

        Returns
        -------
        dict
            Hyperparameter name -> value, in the order of the constructor.

        Examples
        --------
        >>> import penchant as pc
        >>> pc.BPR(factors=32).get_params()["factors"]
        32
        """
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self: ParamsT, **params: Any) -> ParamsT:
        """Change hyperparameters.

        What a fitted model has learnt stays as it is until the next `fit`; parameters that only
        shape its answers change them at once.

        Parameters
        ----------
        **params
            Hyperparameter names and values.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            For an unknown name or a value outside the allowed range; nothing is changed then.

        Examples
        --------
        >>> import penchant as pc
        >>> pc.BPR().set_params(factors=8).factors
        8
        """
        known = self._defaults()
        for name in params:
            if name not in known:
                raise ParameterError(
                    f"{type(self).__name__} has no parameter {name!r}; "
                    f"its parameters are {', '.join(known) or '(none)'}"
                )
        self._check_params({**self.get_params(), **params})
        for name, value in params.items():
            setattr(self, name, value)
        self._params_changed()
        return self

    def _params_changed(self) -> None:
        """Do what changed hyperparameters ask for at once."""

    def _check_params(self, params: Mapping[str, Any] | None = None) -> None:
        """Raise a ParameterError for the first value that its rule refuses."""
        for name, value in (self.get_params() if params is None else params).items():
            rule = self._rules[name]
            if not rule.accepts(value):
                raise ParameterError(
                    f"{type(self).__name__}: {name} must be {rule.describe()}, "
                    f"got {value!r} ({type(value).__name__})"
                )

    def __repr__(self) -> str:
        defaults = self._defaults()
        changed = (
            f"{name}={plain(value)!r}"
            for name, value in self.get_params().items()
            if plain(value) != defaults[name]
        )
        return f"{type(self).__name__}({', '.join(changed)})"


def plain(value: Any) -> Any:
    """Return a hyperparameter as the plain Python value that JSON and `repr` show."""
    if isinstance(value, tuple):
        return tuple(plain(part) for part in value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return value
    return int(value) if isinstance(value, numbers.Integral) else float(value)
