"""Hyperparameters: declared once in a model's constructor, checked by the rules beside it."""

from __future__ import annotations

import inspect
import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from penchant.errors import ParameterError, closest

if TYPE_CHECKING:
    from typing_extensions import Self

ParamsT = TypeVar("ParamsT", bound="Parameterized")


_NOTHING = ("none", "null")
_WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?")


class Rule(Protocol):
    """What values a hyperparameter may take."""

    def read(self, text: str) -> Any:
        """Return the value that a text means, or the text itself where it means none."""
        ...

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

    def read(self, text: str) -> Any:
        """Return the number that a text such as ``64`` or ``64.0`` means; of others the text."""
        if text.lower() in _NOTHING:
            return None
        return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) and len(text) < 40 else text

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

    def read(self, text: str) -> Any:
        """Return the number that a text means; of others the text."""
        if text.lower() in _NOTHING:
            return None
        try:
            return text if "_" in text else float(text)
        except ValueError:
            return text

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

    def read(self, text: str) -> Any:
        """Return the text."""
        return text

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

    def read(self, text: str) -> Any:
        """Return the pair that ``1,5``, ``(1, 5)`` or ``[1, 5]`` means; of others the text."""
        if text.lower() in _NOTHING:
            return None
        parts = text.strip("()[] ").split(",")
        values = tuple(Real(-math.inf).read(part.strip()) for part in parts)
        return values if all(isinstance(value, float) for value in values) else text

    def describe(self) -> str:
        """Return the allowed values in words."""
        return "a tuple (low, high) of numbers, low < high, or None"


@dataclass(frozen=True)
class Flag:
    """True or False."""

    def accepts(self, value: object) -> bool:
        """Whether `value` is a plain bool."""
        return isinstance(value, bool)

    def read(self, text: str) -> Any:
        """Return what ``true`` or ``false`` means, in any case; of others the text."""
        return {"true": True, "false": False}.get(text.lower(), text)

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

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Self:
        """Make one of hyperparameters written as text, as in a file of settings.

        Parameters
        ----------
        texts : mapping of str to str
            Names and values such as ``{"factors": "64", "use_biases": "true"}``; a value may be
            in double quotes. Where a hyperparameter is a model, its name makes one, and
            ``retrieve__factors`` is the hyperparameter `factors` of the model that is `retrieve`.

        Raises
        ------
        ParameterError
            An unknown name, with the closest one; a value that means nothing or is out of range.

        Examples
        --------
        >>> import penchant as pc
        >>> pc.BPR.from_texts({"factors": "32", "use_biases": "false"})
        BPR(factors=32, use_biases=False)
        """
        own, nested = _own_and_nested(cls.__name__, list(cls._defaults()), texts)
        made = cls(**{name: cls._rules[name].read(_unquoted(own[name])) for name in own})
        for name, inner in nested.items():
            part = getattr(made, name)
            if not isinstance(part, Parameterized):
                raise ParameterError(
                    f"{cls.__name__}: {name}={part!r} has no parameters of its own, such as "
                    f"{name}__{next(iter(inner))}: set {name} to a model"
                )
            setattr(made, name, type(part).from_texts(inner))
        return made

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the hyperparameters by name.

        Parameters
        ----------
        deep : bool, default True
            Add those of models that are hyperparameters themselves, as ``retrieve__factors``.

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
        own = {name: getattr(self, name) for name in self._defaults()}
        nested = {
            f"{name}__{inner}": found
            for name, value in own.items()
            if deep and isinstance(value, Parameterized)
            for inner, found in value.get_params().items()
        }
        return {**own, **nested}

    def set_params(self: ParamsT, **params: Any) -> ParamsT:
        """Change hyperparameters.

        What a fitted model has learnt stays as it is until the next `fit`; parameters that only
        shape its answers change them at once.

        Parameters
        ----------
        **params
            Hyperparameter names and values; ``retrieve__factors`` is the hyperparameter `factors`
            of the model that is the hyperparameter `retrieve`.

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
        self._check_all(params)
        own, nested = _own_and_nested(type(self).__name__, list(self._defaults()), params)
        for name, value in own.items():
            setattr(self, name, value)
        for name, inner in nested.items():
            getattr(self, name).set_params(**inner)
        self._params_changed()
        return self

    def _check_all(self, params: Mapping[str, Any]) -> None:
        """Raise the ParameterError of `set_params` without changing anything."""
        own, nested = _own_and_nested(type(self).__name__, list(self._defaults()), params)
        self._check_params({**self.get_params(deep=False), **own})
        for name, inner in nested.items():
            part = own.get(name, getattr(self, name))
            if not isinstance(part, Parameterized):
                raise ParameterError(
                    f"{type(self).__name__}: {name}={part!r} has no parameters of its own, such as "
                    f"{name}__{next(iter(inner))}: set {name} to a model first"
                )
            part._check_all(inner)

    def _params_changed(self) -> None:
        """Do what changed hyperparameters ask for at once."""

    def _check_params(self, params: Mapping[str, Any] | None = None) -> None:
        """Raise a ParameterError for the first value that its rule refuses."""
        for name, value in (self.get_params(deep=False) if params is None else params).items():
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
            for name, value in self.get_params(deep=False).items()
            if plain(value) != defaults[name]
        )
        return f"{type(self).__name__}({', '.join(changed)})"


def _own_and_nested(
    owner: str, known: list[str], params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Tell ``k`` from ``retrieve__factors``; the names of the owner itself must be known."""
    own: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for name, value in params.items():
        first, separator, inner = name.partition("__")
        if first not in known:
            raise ParameterError(
                f"{owner} has no parameter {name!r}{closest(first, known)}; "
                f"its parameters are {', '.join(known) or '(none)'}"
            )
        if separator:
            nested.setdefault(first, {})[inner] = value
        else:
            own[name] = value
    return own, nested


def _unquoted(text: str) -> str:
    """Return a text without the double quotes that JSON puts around one."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def plain(value: Any) -> Any:
    """Return a hyperparameter as the plain Python value that JSON and `repr` show."""
    if isinstance(value, tuple):
        return tuple(plain(part) for part in value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return value
    return int(value) if isinstance(value, numbers.Integral) else float(value)
