"""Working copies of the arrays that a kernel trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from penchant.models.weights import finite_problem

if TYPE_CHECKING:
    from penchant.models.base import Recommender

_LINE = 64  # bytes of a cache line


class Drafts:
    """Copies of a model's arrays, which the model takes over when an epoch has ended well."""

    def __init__(self, model: Recommender) -> None:
        self._model = model
        self._arrays: dict[str, NDArray[np.float32]] = {}

    def add(self, name: str) -> NDArray[np.float32] | None:
        """Return a copy of an array of the model, or None where it has none.

        Rows of a matrix are padded with zeros to whole cache lines, which kernels want: they
        need no copy of their own then.
        """
        own = getattr(self._model, name)
        if own is None:
            return None
        shape = list(own.shape)
        if own.ndim == 2:
            shape[1] += -shape[1] % (_LINE // 4)
        draft = _aligned_zeros(shape)
        _used(draft, own)[...] = own
        self._arrays[name] = draft
        return draft

    def __bool__(self) -> bool:
        return bool(self._arrays)

    def problem(self) -> str | None:
        """Say which draft has NaN or infinite values, if one has."""
        problems = (finite_problem(name, draft) for name, draft in self._arrays.items())
        return next((problem for problem in problems if problem), None)

    def accept(self) -> None:
        """Copy all drafts into the model."""
        for name, draft in self._arrays.items():
            own = getattr(self._model, name)
            np.copyto(own, _used(draft, own))


def _used(draft: NDArray[np.float32], own: NDArray[Any]) -> NDArray[np.float32]:
    return draft if own.ndim == 1 else draft[:, : own.shape[1]]


def _aligned_zeros(shape: list[int]) -> NDArray[np.float32]:
    size = int(np.prod(shape))
    raw = np.zeros(size + _LINE // 4, dtype=np.float32)
    first = -raw.ctypes.data % _LINE // 4
    return raw[first : first + size].reshape(shape)
