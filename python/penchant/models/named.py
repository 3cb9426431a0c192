"""Model classes by their names, as people write them in settings and on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penchant.errors import ParameterError, closest
from penchant.models import state

if TYPE_CHECKING:
    from penchant.models.base import Recommender

__all__ = ["find_class"]


def find_class(name: str, what: str = "model") -> type[Recommender]:
    """Return the model class of a name, in any case.

    Parameters
    ----------
    name : str
        Such as ``"bpr"``.
    what : str
        What the name was given as, for the message.

    Raises
    ------
    ParameterError
        There is none; the message names the closest one and all.

    Examples
    --------
    >>> find_class("bpr")
    <class 'penchant.models.bpr.BPR'>
    """
    classes = {own.lower(): own for own in state.models()}
    own = classes.get(name.strip().lower())
    if own is None:
        hint = closest(name, classes) or "."
        raise ParameterError(f"{what}: no model {name!r:.80}{hint} Models: {', '.join(classes)}")
    return state._REGISTRY[own]
