"""Telling somebody that a job is done: a command, a web hook or Amazon SNS."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from penchant.batch.report import Report
from penchant.errors import ParameterError, PenchantError, notice, require

__all__ = ["check_target", "notify", "payload"]

_SECONDS = 30.0
_ARN = re.compile(r"(?:sns:)?(arn:[\w-]+:sns:([\w-]+):\d{12}:[\w.-]+)")


def payload(
    job: str, source: str, out: str, report: Report | None, error: BaseException | None = None
) -> dict[str, Any]:
    """Return what is told of a job, as JSON values.

    Parameters
    ----------
    job, source, out : str
        Kind of the job and its paths.
    report : Report or None
        Of a job that is done.
    error : exception, optional
        Of one that failed.

    Examples
    --------
    >>> payload("rank", "a.jsonl", "b.out", Report("rank", "a.jsonl", "b.out"))["status"]
    'completed'
    """
    counts = report.as_dict() if report is not None else {}
    return {
        "job": job,
        "status": "completed" if error is None else "failed",
        "input": os.path.abspath(source) if source != "-" else source,
        "output": os.path.abspath(out) if out != "-" else out,
        "error": None if error is None else str(error) or type(error).__name__,
        "counts": {name: counts.get(name, 0) for name in ("requests", "rows", "unknown", "failed")},
        "seconds": counts.get("seconds"),
        "model": counts.get("model") or None,
    }


def check_target(target: str) -> None:
    """Refuse a target that cannot be one, before a long job begins.

    Raises
    ------
    ParameterError
        Nothing, an ARN that is none, or a command with quotes that are not closed.
    MissingExtraError
        SNS without boto3.
    """
    if target.startswith(("sns:", "arn:")):
        if not _ARN.fullmatch(target):
            raise ParameterError(
                f"--notify: {target!r} is no topic; sns:arn:aws:sns:REGION:ACCOUNT:NAME is"
            )
        require("boto3", "aws")
    elif not target.startswith(("http://", "https://")):
        try:
            words = shlex.split(target)
        except ValueError as error:
            raise ParameterError(f"--notify: {target!r} is no command: {error}") from None
        if not words:
            raise ParameterError("--notify: the command is empty")


def notify(target: str, content: dict[str, Any]) -> bool:
    """Send JSON to a target; a failure is a notice, never an error.

    Parameters
    ----------
    target : str
        ``http://`` and ``https://`` addresses get a POST, ``sns:ARN`` a message, and anything else
        is a command, run without a shell, that gets the JSON on its stdin.
    content : dict
        See `payload`.

    Returns
    -------
    bool
        Whether it arrived.
    """
    try:
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        if target.startswith(("http://", "https://")):
            _post(target, body)
        elif topic := _ARN.fullmatch(target):
            _publish(topic[1], topic[2], body.decode(), content)
        else:
            _call(target, body)
    except Exception as error:  # whatever boto3 or the system raises: the job itself is done
        if target.startswith(("http://", "https://")):
            target, reason = _host(target), _web_reason(error)
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
        notice(f"the job is done, but {target!r:.100} could not be told: {reason}")
        return False
    return True


def _host(address: str) -> str:
    """Return what may be shown of a web hook: whoever knows all of it can post to it, too."""
    try:
        parts = urllib.parse.urlsplit(address)
        port = "" if parts.port is None else f":{parts.port}"
        return f"{parts.scheme}://{parts.hostname or ''}{port}"
    except ValueError:
        return address.partition(":")[0] + "://..."


def _web_reason(error: Exception) -> str:
    """Say what went wrong, without the words of others: some of them repeat the address."""
    if isinstance(error, urllib.error.HTTPError):
        return f"it answered with status {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(cause if isinstance(cause, Exception) else error).__name__


def _post(address: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "penchant"}
    request = urllib.request.Request(address, body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        answer.read(1)


def _publish(arn: str, region: str, body: str, content: dict[str, Any]) -> None:
    boto3: Any = require("boto3", "aws")
    client = boto3.client("sns", region_name=region)
    subject = f"penchant batch {content['job']} {content['status']}"
    client.publish(TopicArn=arn, Subject=subject[:100], Message=body)


def _call(command: str, body: bytes) -> None:
    done = subprocess.run(
        shlex.split(command), input=body, capture_output=True, check=False, timeout=_SECONDS
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-200:]
        raise PenchantError(f"exit status {done.returncode}{': ' if said else ''}{said}")
