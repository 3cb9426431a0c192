"""Memory that a second worker adds, and the time until a large artifact answers."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from bench.report import Report
from bench.serve import wrk
from bench.serve.servers import Server, penchant_server
from bench.serve.subject import make_large
from penchant.errors import PenchantError

_MB = 1e6
_USERS = 1_000
_ATTEMPTS = 5
_BUSY_SECONDS = 0.1  # of CPU time, of a worker that answers


def run(options: argparse.Namespace, folder: Path, report: Report) -> None:
    """Weigh one and two workers after load: the processes together, shared pages counted once."""
    artifact = make_large(folder / "large", options.megabytes)
    size = sum(path.stat().st_size for path in artifact.rglob("*") if path.is_file())
    lines = [json.dumps({"user_id": user}).encode() for user in range(_USERS)]
    bodies = wrk.write_bodies(folder / "large.txt", lines)
    prepare(artifact)
    rows, sums = [], {}
    starts = []
    for workers in (1, 2):
        log = folder / f"workers-{workers}.log"
        with penchant_server(artifact, log, workers=workers) as server:
            starts.append(server.seconds)
            warm(server, options, bodies, workers)
            parts = server.pss()
            processes = len(server.pids())
        sums[workers] = parts["Pss"]
        row = [f"{parts[name] / _MB:,.0f}" for name in ("Pss", "Pss_Anon", "Pss_File")]
        rows.append([workers, processes, *row, f"{server.seconds:.2f}"])
        report.results.setdefault("memory", {})[str(workers)] = parts | {"start": server.seconds}
    added = sums[2] - sums[1]
    report.table(
        f"memory after load, an artifact of {size / _MB:,.0f} MB; PSS of all processes in MB",
        ["workers", "processes", "PSS", "anonymous", "of files", "start to /ping, s"],
        rows,
    )
    print(
        f"the second worker adds {added / _MB:,.0f} MB: {added / sums[1]:.1%} of what one takes, "
        f"{added / size:.1%} of the artifact"
    )
    report.figure("memory of a second worker", added / sums[1])
    report.figure("start seconds", starts[0])


def prepare(artifact: Path) -> None:
    """Have the index written: a first start does that after it answers, and is not weighed here."""
    code = "import sys; from penchant.models.prepared import open_served; open_served(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(artifact)], check=True)


def warm(server: Server, options: argparse.Namespace, bodies: Path, workers: int) -> None:
    """Let every worker answer enough to have touched what it ever touches."""
    for _ in range(_ATTEMPTS):
        before = server.cpu_by_process()
        wrk.run(server, bodies, options.seconds)
        after = server.cpu_by_process()
        busy = [pid for pid, used in after.items() if used - before.get(pid, 0.0) > _BUSY_SECONDS]
        if len(busy) >= workers:
            return
    raise PenchantError(f"only {len(busy)} of {workers} workers had anything to do under load")
