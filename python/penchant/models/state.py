"""The fitted state of a model as plain arrays, tables and JSON: saved, loaded and pickled alike.

Nothing read back is trusted: before a model answers, its arrays are checked against each other, so
that a damaged or hostile artifact is refused instead of reading out of bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant._version import __version__
from penchant.data.ids import IdMap
from penchant.data.interactions import Columns
from penchant.errors import ArtifactError, MissingExtraError, PenchantError
from penchant.models.history import history_rows, history_table
from penchant.models.params import Parameterized, plain
from penchant.models.weights import weights_problem
from penchant.retrieval.filters import RowLists, ascend
from penchant.storage import write_artifact

if TYPE_CHECKING:
    from os import PathLike

    from penchant.models.base import Recommender
    from penchant.models.fitted import FittedModel
    from penchant.models.prepared import Shelf

_INDEX = "index_"  # arrays whose names begin like this are an approximate index
_BACKENDS = ("pandas", "polars", "pyarrow")
_REGISTRY: dict[str, type[Recommender]] = {}
_PARTS: dict[str, type[Parameterized]] = {}  # no models, but hyperparameters of some


class _UnknownClass(ArtifactError):  # noqa: N818  never leaves this module
    """An artifact names a class that is not registered."""


class State(NamedTuple):
    """A fitted model without its code.

    `shelf` is where what follows from it is kept. A state that is `sound` has passed all checks
    before, as it is; those that would read everything are left out.
    """

    meta: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    tables: dict[str, pa.Table]
    shelf: Shelf | None = None
    sound: bool = False


def class_name(cls: type) -> str:
    """Return the name a model class has in artifacts: plain for Penchant's own."""
    if cls.__module__.startswith("penchant.models."):
        return cls.__name__
    return f"{cls.__module__}.{cls.__qualname__}"


def register(cls: type[Recommender]) -> None:
    """Make a model class loadable."""
    _REGISTRY[class_name(cls)] = cls


def register_part(cls: type[Parameterized]) -> None:
    """Make loadable what is no model by itself, but a hyperparameter of one."""
    _PARTS[class_name(cls)] = cls


def capture(model: FittedModel) -> State:
    """Take the state out of a fitted model; arrays are not copied."""
    users, users_meta = model.users_.to_state()
    items, items_meta = model.items_.to_state()
    meta: dict[str, Any] = {
        "columns": asdict(model.columns_),
        "backend": model.backend_,
        "users": users_meta,
        "items": items_meta,
    }
    trained = {name: written(value) for name, value in vars(model._trained).items()}
    if trained != head(model)["parameters"]:
        meta["trained_with"] = trained
    arrays: dict[str, NDArray[Any]] = {
        "seen_indptr": model.seen_.indptr,
        "seen_indices": model.seen_.indices,
        "item_counts": model.item_counts_,
    }
    if model.item_first_seen_ is not None:
        arrays["item_first_seen"] = model.item_first_seen_
        meta["last_event"] = model.last_event_
    if len(model.guessed_items_):
        arrays["guessed_items"] = model.guessed_items_
    for name in model._weights:
        if getattr(model, name) is not None:
            arrays[name.rstrip("_")] = getattr(model, name)
    if (kept := model._kept_index()) is not None:
        meta["index"] = kept[0]
        arrays.update({f"{_INDEX}{name}": array for name, array in kept[1].items()})
    tables = {
        "users": pa.table({"id": users}),
        "items": pa.table({"id": items}),
        "history": history_table(model._history),
    }
    for name in ("item_features", "user_features"):
        if (table := getattr(model, f"{name}_")) is not None:
            tables[name] = table
    return model._add_parts(State(meta, arrays, tables))


def restore(model: FittedModel, state: State) -> None:
    """Put a state into a model of the right class.

    Raises
    ------
    ArtifactError
        If parts are missing or do not fit together.
    """
    try:
        meta, arrays, tables, shelf, sound = state
        model.columns_ = _columns(meta["columns"])
        model.backend_ = meta["backend"]
        if model.backend_ not in _BACKENDS:
            raise ArtifactError(f"frames of kind {model.backend_!r} are not known")
        model.users_, model.items_ = (
            IdMap.from_state(_only_chunk(tables[side]), meta[side], checked=sound)
            for side in ("users", "items")
        )
        if not len(model.items_) or not (len(model.users_) or model._may_lack_users):
            raise ArtifactError("it has no users or no items")
        model._training_begins()
        _read_trained(model, meta.get("trained_with", {}))
        model._history = history_rows(tables["history"])
        history_table(model._history)  # its columns are numbers
        model.seen_ = RowLists(
            _array(arrays, "seen_indptr", np.dtype(np.int64), (len(model.users_) + 1,)),
            _array(arrays, "seen_indices", np.dtype(np.int32), (None,)),
        )
        if not sound:
            _check_seen(model.seen_, len(model.items_))
        model.item_features_ = _features(tables, "item_features", len(model.items_))
        model.user_features_ = _features(tables, "user_features", len(model.users_))
        model.item_counts_ = _array(arrays, "item_counts", np.dtype(np.int64), (len(model.items_),))
        if "item_first_seen" in arrays:
            n_items, last = len(model.items_), meta.get("last_event")
            model.item_first_seen_ = _array(
                arrays, "item_first_seen", np.dtype(np.int64), (n_items,)
            )
            if type(last) is not int:
                raise ArtifactError(f"last_event is {last!r:.80}, not microseconds of UTC")
            model.last_event_ = last
        if "guessed_items" in arrays:
            model.guessed_items_ = _array(arrays, "guessed_items", np.dtype(np.int32), (None,))
            _check_codes(model.guessed_items_, len(model.items_))
        for name, weight in model._weights.items():
            key = name.rstrip("_")
            absent = weight.optional and key not in arrays
            shape = (None,) * len(weight.shape)
            dtype = np.dtype(weight.dtype)
            setattr(model, name, None if absent else _array(arrays, key, dtype, shape))
        model._restore_parts(state)
    except PenchantError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
        raise ArtifactError(f"its parts do not fit together: {error!r}") from error
    if not sound and (problem := weights_problem(model)):
        raise ArtifactError(problem)
    model._weights_changed()
    model._shelf = shelf
    if "index" in meta:
        _read_index(model, meta["index"], arrays)


def _read_index(model: FittedModel, saved: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Restore the approximate index."""
    parts = {
        name.removeprefix(_INDEX): array
        for name, array in arrays.items()
        if name.startswith(_INDEX)
    }
    try:
        model._restore_index(saved, parts)
    except (PenchantError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"its approximate index cannot be used: {error}") from error


def _read_trained(model: FittedModel, saved: Any) -> None:
    """Take over the hyperparameters of the training, where they are not those of the model."""
    if not isinstance(saved, dict) or not set(saved) <= set(vars(model._trained)):
        raise ArtifactError(f"trained_with is {saved!r:.200}, which this version does not know")
    values = {**vars(model._trained), **{name: as_given(value) for name, value in saved.items()}}
    type(model)(**values)  # checks them
    vars(model._trained).update(values)


def _columns(saved: Mapping[str, Any]) -> Columns:
    known = {field.name for field in fields(Columns)}
    if not isinstance(saved, dict) or not set(saved) <= known:
        raise ArtifactError(f"columns are {saved!r:.200}, which this version does not understand")
    if not all(isinstance(saved.get(name), str) for name in ("user", "item")):
        raise ArtifactError("the names of the user and item column are missing")
    names: dict[str, Any] = dict(saved)
    context = names.pop("context", [])
    texts = [*(name for name in names.values() if name is not None), *context]
    if not all(isinstance(name, str) for name in texts):
        raise ArtifactError(f"columns are {saved!r:.200}, not names")
    return Columns(**names, context=tuple(context))


def _features(tables: Mapping[str, pa.Table], name: str, rows: int) -> pa.Table | None:
    table = tables.get(name)
    if table is not None and table.num_rows != rows:
        raise ArtifactError(f"{name} has {table.num_rows} rows, expected {rows}")
    return table


def _only_chunk(table: pa.Table) -> pa.Array:
    column = table["id"]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _array(
    arrays: Mapping[str, NDArray[Any]],
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int | None, ...],
) -> NDArray[Any]:
    array = arrays[name]
    wanted = tuple(
        own if want is None else want for own, want in zip(array.shape, shape, strict=False)
    )
    if array.dtype != dtype or len(array.shape) != len(shape) or array.shape != wanted:
        raise ArtifactError(
            f"{name} is {array.dtype} of shape {array.shape}, expected {dtype} of shape "
            f"({', '.join('any' if want is None else str(want) for want in shape)})"
        )
    return np.require(array, requirements=["C", "A"])


def _check_seen(seen: RowLists, n_items: int) -> None:
    indptr, indices = seen
    if indptr[0] != 0 or indptr[-1] != len(indices) or np.any(indptr[1:] < indptr[:-1]):
        raise ArtifactError("seen_indptr does not ascend from 0 to the number of seen items")
    if len(indices) and (indices.min() < 0 or indices.max() >= n_items):
        raise ArtifactError(f"seen_indices has entries outside 0..{n_items - 1}")
    if not ascend(seen):
        raise ArtifactError("seen_indices is not sorted within each user")


def _check_codes(codes: NDArray[np.int32], n_items: int) -> None:
    ascending = (codes[1:] > codes[:-1]).all()
    if not (ascending and len(codes) < n_items and (codes >= 0).all() and (codes < n_items).all()):
        raise ArtifactError(f"guessed_items are not some of the ascending codes 0..{n_items - 1}")


def save(model: FittedModel, path: str | PathLike[str]) -> None:
    """Write a fitted model as an artifact."""
    meta, arrays, tables, *_ = capture(model)
    write_artifact(path, meta={**head(model), **meta}, arrays=arrays, tables=tables)


def head(model: Parameterized) -> dict[str, Any]:
    """Return class and hyperparameters as JSON has them."""
    parameters = model.get_params(deep=False).items()
    return {
        "class": class_name(type(model)),
        "parameters": {name: written(value) for name, value in parameters},
    }


def written(value: Any) -> Any:
    """Return a hyperparameter as JSON has it; a model is its class and hyperparameters."""
    if isinstance(value, Parameterized):
        return head(value)
    return [written(part) for part in value] if isinstance(value, list | tuple) else plain(value)


def models() -> list[str]:
    """Return the names of the models that come with Penchant, sorted.

    Examples
    --------
    >>> import penchant as pc
    >>> "BPR" in pc.models.list()
    True
    """
    return sorted(
        name for name, cls in _REGISTRY.items() if cls.__module__.startswith("penchant.models.")
    )


def revived(state: State, path: str | PathLike[str]) -> Recommender:
    """Make the model of an artifact's state; errors are about the artifact at `path`."""
    try:
        return revive(state)
    except (TypeError, RecursionError) as error:
        raise ArtifactError(f"{path}: {error}; it may need a newer penchant") from error
    except _UnknownClass as error:
        raise ArtifactError(f"{path}: {error}") from error
    except MissingExtraError:
        raise
    except PenchantError as error:
        raise ArtifactError(f"{path}: damaged: {error}") from error


def revive(state: State) -> Recommender:
    """Make the model of a state whose `meta` has its class and hyperparameters as well."""
    meta = dict(state.meta)
    name, parameters = meta.pop("class", None), meta.pop("parameters", None)
    cls = _known(name, _REGISTRY)
    model = cls(**_given(parameters))
    restore(model, state._replace(meta=meta))
    return model


KnownT = TypeVar("KnownT")


def _known(name: Any, registry: Mapping[str, KnownT]) -> KnownT:
    found = registry.get(name) if isinstance(name, str) else None
    if found is None:
        raise _UnknownClass(
            f"holds a model of class {name!r:.80}, which Penchant {__version__} does not "
            f"know; it knows {', '.join(sorted(registry))}. Import the module that defines your "
            "own model before loading it, or upgrade penchant"
        )
    return found


def _given(parameters: Any) -> dict[str, Any]:
    if not isinstance(parameters, dict):
        raise ArtifactError("its parameters are missing")
    return {name: as_given(value) for name, value in parameters.items()}


def as_given(value: Any) -> Any:
    """Return a hyperparameter as it was before JSON, which has no tuples and no models."""
    if isinstance(value, dict):
        return _known(value.get("class"), {**_REGISTRY, **_PARTS})(
            **_given(value.get("parameters"))
        )
    return tuple(as_given(part) for part in value) if isinstance(value, list) else value


def pickled(model: FittedModel) -> dict[str, Any]:
    """Return what pickle keeps: the hyperparameters and, where fitted, the saved state."""
    fitted = None
    if model.__sklearn_is_fitted__():
        fitted = dict(zip(("meta", "arrays", "tables"), capture(model), strict=False))
    return {"version": __version__, "parameters": model.get_params(deep=False), "fitted": fitted}


def unpickle(model: FittedModel, content: Mapping[str, Any]) -> None:
    """Fill an empty object from `pickled`."""
    model.__init__(**content["parameters"])  # type: ignore[misc]
    if content["fitted"] is not None:
        restore(model, State(**content["fitted"]))
