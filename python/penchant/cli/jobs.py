"""`penchant jobs`: the training jobs of this machine."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    help="Look after the training jobs that pc.jobs.train starts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the job.")]


@app.command("list")
def list_jobs() -> None:
    """List the jobs, the latest first: name, status and when they were started."""
    from penchant import jobs

    found = jobs.list()
    width = max((len(job.name) for job in found), default=0)
    for job in found:
        typer.echo(f"{job.name:<{width}}  {job.status:<10}  {job.created}")
    if not found:
        typer.echo("no jobs", err=True)


@app.command()
def logs(
    name: _Name,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
) -> None:
    """Print what a job has printed."""
    from penchant import jobs

    job = jobs.get(name)
    if follow:
        job.logs(follow=True)
    else:
        typer.echo(job.logs(), nl=False)


@app.command()
def stop(name: _Name) -> None:
    """Ask a job to end after its epoch; it saves what it has learnt."""
    from penchant import jobs

    job = jobs.get(name)
    job.stop()
    typer.echo(f"{name}: told to stop", err=True)
