"""`penchant demo`: the whole job, from a raw table to an artifact that answers elsewhere."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penchant.cli.common import check_out, make_interactions, read_table
from penchant.cli.console import Steps, heading, say
from penchant.cli.options import (
    DelimiterOption,
    EncodingOption,
    OptionalItemOption,
    OptionalUserOption,
    TimestampOption,
    TimestampUnitOption,
)
from penchant.errors import ArtifactError, DataError, MissingExtraError, ParameterError

if TYPE_CHECKING:
    import pyarrow as pa

    from penchant.data.interactions import Interactions
    from penchant.models import BPR

__all__ = ["demo"]

K = 10  # everything in the demo is about ten recommendations
_TEST_SIZE = 0.3
_SHOP = {
    "user": "CustomerID",
    "item": "Description",
    "timestamp": "InvoiceDate",
    "quantity": "Quantity",
}


_OutOption = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="Where the artifact and the plot go.")
]
_DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="FILE", help="Your purchases, Parquet or CSV; else generated."),
]
_QuantityOption = Annotated[
    str | None,
    typer.Option(
        "--quantity",
        metavar="COLUMN",
        help="Column with the number of pieces, below 0 for returns, which are dropped; "
        "taken from `Quantity` where there is one.",
    ),
]
_SeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Of the generated shop and of the split.")
]
_EpochsOption = Annotated[
    int | None,
    typer.Option("--epochs", metavar="N", min=1, help="Of the training, else BPR's default."),
]


def demo(
    out: _OutOption = Path("penchant-demo"),
    data: _DataOption = None,
    user: OptionalUserOption = None,
    item: OptionalItemOption = None,
    timestamp: TimestampOption = None,
    timestamp_unit: TimestampUnitOption = None,
    quantity: _QuantityOption = None,
    seed: _SeedOption = 41,
    epochs: _EpochsOption = None,
    encoding: EncodingOption = "utf8",
    delimiter: DelimiterOption = None,
) -> None:
    """Do the whole job on a generated shop, or on your own table.

    Cleans the table, splits it 70/30, trains BPR, measures it beside a popularity baseline, shows
    recommendations by name, plots the training, saves the model and checks it in a fresh process.
    """
    columns = {"user": user, "item": item, "timestamp": timestamp, "quantity": quantity}
    named = {option: column for option, column in columns.items() if column is not None}
    if data is None and named:
        raise ParameterError(f"--{next(iter(named))} names a column of your own table: add --data")
    if data is not None and not {"user", "item"} <= set(named):
        raise ParameterError("--data needs --user COLUMN and --item COLUMN")

    from penchant.config import read_config

    _check_folder(out)  # now, not after the training
    config = read_config()
    say(f"Penchant {config.version}, {config.isa} kernels, {config.threads} threads")
    say()
    steps = Steps()
    with steps.step("Read and clean"):
        if data is None:
            table, named = _make_shop(seed)
        else:
            table, named = _read(data, named, encoding=encoding, delimiter=delimiter)
        purchases = clean(table, named, timestamp_unit)
    out.mkdir(parents=True, exist_ok=True)
    with steps.step("Split 70/30"):
        train, test = _split(purchases, seed)
    _learn_and_show(steps, train, test, out, seed, epochs)


def _check_folder(out: Path) -> None:
    """Refuse a folder that an earlier demo did not make: its files would be replaced."""
    from penchant.storage.manifest import MANIFEST

    if out.exists() and not out.is_dir():
        raise ParameterError(f"--out: {str(out)!r} is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / "artifact" / MANIFEST).is_file():
        raise ParameterError(
            f"--out: {str(out)!r} holds files that are no earlier demo's; name a new folder"
        )
    check_out(out / "artifact")


def _learn_and_show(
    steps: Steps, train: Interactions, test: Interactions, out: Path, seed: int, epochs: int | None
) -> None:
    """Everything after the split."""
    from penchant.cli import demo_report

    with steps.step("Train BPR"):
        model = _train(train, test, epochs)
    with steps.step("Measure"):
        baseline = demo_report.show_metrics(model, train, test, K)
    with steps.step("Recommend"):
        customers = demo_report.pick_customers(train, test, seed)
        demo_report.show_recommendations(model, train, test, customers, K)
    with steps.step("Plot"):
        _plot(model, baseline, out / "training.png")
    with steps.step("Save, and load in a fresh process"):
        _save_and_compare(model, out / "artifact")
    heading("What each step took")
    say(steps.report())
    say()
    _next_steps(out, customers)


def _make_shop(seed: int) -> tuple[pa.Table, dict[str, str]]:
    from penchant import datasets
    from penchant.data.frames import to_arrow

    table = to_arrow(datasets.make_purchases(random_state=seed))[0]
    say(f"  a generated shop (seed {seed}): {table.num_rows:,} rows")
    say("  your own: penchant demo --data FILE --user COLUMN --item COLUMN")
    return table, _SHOP


def _read(path: Path, named: dict[str, str], **csv_format: Any) -> tuple[pa.Table, dict[str, str]]:
    """Read the user's table; a numeric `Quantity` column is taken up without being asked for."""
    import pyarrow as pa

    options = {f"--{option}": column for option, column in named.items()}
    extra = () if "quantity" in named else (_SHOP["quantity"],)
    table = read_table(path, options, optional=extra, **csv_format)
    say(f"  {path}: {table.num_rows:,} rows")
    for column in set(extra) & set(table.column_names) - set(named.values()):
        kind = table.schema.field(column).type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            named = named | {"quantity": column}
    return table, named


def clean(
    table: pa.Table, named: dict[str, str], timestamp_unit: str | None = None
) -> Interactions:
    """Strip item names, drop rows that say nothing and returns; report every count."""
    table, stripped = _strip(table, named["item"])
    if stripped:
        say(f"  stripped {stripped:>9,}  values of {named['item']} of spaces around them")
    data = make_interactions(
        table,
        indent="  ",
        user=named["user"],
        item=named["item"],
        timestamp=named.get("timestamp"),
        timestamp_unit=timestamp_unit,
        value=named.get("quantity"),
        negative_values="drop",
    )
    if data.n_users < 2 or data.n_items < K:
        raise DataError(
            f"too little to learn from: {data.n_users} users and {data.n_items} items; "
            f"the demo wants at least 2 and {K}"
        )
    return data


def _strip(table: pa.Table, item: str) -> tuple[pa.Table, int]:
    """Strip spaces around item names, turn empty ones into nulls; count what changed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(item)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return table, 0
    trimmed = pc.utf8_trim_whitespace(column)
    changed = pc.sum(pc.not_equal(trimmed, column)).as_py() or 0
    named = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, column.type), trimmed)
    return table.set_column(table.column_names.index(item), item, named), changed


def _split(purchases: Interactions, seed: int) -> tuple[Interactions, Interactions]:
    from penchant import split

    train, test = split.random(purchases, test_size=_TEST_SIZE, random_state=seed)
    say(f"  train    {len(train):>9,}  purchases, {train.n_users:,} customers (seed {seed})")
    say(f"  test     {len(test):>9,}  purchases, {test.n_users:,} customers")
    return train, test


def _train(train: Interactions, test: Interactions, epochs: int | None) -> BPR:
    from penchant import BPR, ValidationMetric
    from penchant.cli.demo_report import MEASURED, Progress

    model = BPR() if epochs is None else BPR(epochs=epochs)
    every = max(1, model.epochs // 20)  # a measurement costs as much as half an epoch or more
    often = "epoch" if every == 1 else f"{every} epochs"
    say(f"  {model!r}: {model.epochs} epochs, {model.factors} factors")
    say(f"  precision@{K} on the held-out rows is measured twice, every {often}:")
    for label, (_, meaning) in MEASURED.items():
        say(f"    {label:<8} {meaning}")
    callbacks: list[Any] = [
        ValidationMetric(
            test, f"precision@{K}", every, exclude_seen=new_only, name=f"precision@{K} {label}"
        )
        for label, (new_only, _) in MEASURED.items()
    ]
    callbacks.append(Progress(f"precision@{K}", model.epochs, every))
    return model.fit(train, progress=False, callbacks=callbacks)


def _plot(model: BPR, baseline: dict[str, float], path: Path) -> None:
    from penchant.cli.demo_plot import plot_training

    try:
        plot_training(model, baseline, path)
        say(f"  loss and precision@{K} over time: {path}")
    except MissingExtraError as error:
        say(f"  no plot: {error}")


def _save_and_compare(model: BPR, path: Path) -> None:
    """Save, let a new Python process load and answer for everybody, compare to the bit."""
    from penchant.cli.digest import digest

    model.save(path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    say(f"  saved    {path} ({size / 1e6:.1f} MB)")
    answer = subprocess.run(
        [sys.executable, "-m", "penchant.cli.digest", str(path), str(K)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf8"},
    )
    if answer.returncode:
        raise ArtifactError(f"a fresh process could not use {path}: {answer.stderr.strip()}")
    here, there = digest(model, K), answer.stdout.strip()
    if here != there:
        raise ArtifactError(f"{path}, loaded in a fresh process, answers differently")
    say(f"  loaded   in a fresh process: {K} recommendations for every customer, equal to the bit")
    say(f"           (sha256 {here[:16]}…)")


def _next_steps(out: Path, customers: list[Any]) -> None:
    from penchant.storage.files import replaced_file

    artifact, users = shlex.quote(str(out / "artifact")), out / "users.jsonl"
    lines = [json.dumps({"user_id": str(customer), "top_n": str(K)}) for customer in customers]
    with replaced_file(users) as file:
        file.write(("\n".join(lines) + "\n").encode())
    batch = f"{shlex.quote(str(users))} {shlex.quote(str(out / 'recommendations.csv'))}"
    heading("Next steps")
    say(f"  penchant recommend {artifact} --user {shlex.quote(str(customers[0]))}")
    say(f"  penchant batch transform {batch} --model {artifact}")
    say(f"  penchant serve {artifact} --port 8080")
