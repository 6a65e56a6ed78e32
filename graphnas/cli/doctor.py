"""`graphnas doctor`: whether everything that a run needs is there."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from graphnas.cli.options import Home, Json
from graphnas.cli.output import FAILED, command, print_json
from graphnas.errors import GraphNASError
from graphnas.version import __version__

_OPTIONAL = {
    "optuna": "optuna: TPE, GP, CMAES",
    "ray": "ray: trials on a cluster",
    "pandas": "table: trials().to_dataframe()",
    "ruff": "format: layout of saved source",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `state` is `'ok'`, `'missing'` (what is optional) or `'problem'`."""

    what: str
    state: str
    found: str


@command
def doctor(home: Home = None, as_json: Json = False) -> None:
    """Check the installation: versions, extras, GPUs and the folder of the experiments; exit code 1 if one is wrong."""
    import sqlite3

    from graphnas.experiment.executors.process import usable_cores
    from graphnas.experiment.folders import home_of
    from graphnas.experiment.tables import print_table

    findings = [
        Finding("graphnas", "ok", __version__),
        Finding("python", "ok", f"{platform.python_version()} at {sys.executable}"),
        Finding("platform", "ok", f"{platform.platform()}, {usable_cores()} cores"),
        Finding("sqlite", "ok", sqlite3.sqlite_version),
        _looked_at("torch", _torch),
        _looked_at("gpu", _gpu),
        *(_extra(package, use) for package, use in _OPTIONAL.items()),
        _looked_at("experiments", lambda: _folder(home_of(home))),
        _looked_at("worker processes", _workers),
    ]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [(finding.what, finding.state, finding.found) for finding in findings]
        print_table("graphnas doctor", ("WHAT", "STATE", "FOUND"), rows)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(FAILED)


def _looked_at(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, "ok", look())
    except (GraphNASError, ImportError, OSError, RuntimeError) as error:
        return Finding(what, "problem", f"{type(error).__name__}: {error}")


def _extra(package: str, use: str) -> Finding:
    import importlib.metadata

    extra, _, purpose = use.partition(": ")
    try:
        return Finding(package, "ok", importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return Finding(package, "missing", f"only for {purpose}: pip install 'graphnas[{extra}]'")


def _torch() -> str:
    import torch

    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(f"{index}: {name}" for index, name in enumerate(names))


def _folder(home: Path) -> str:
    from graphnas.experiment.store.place import check_is_local

    existing = next(folder for folder in (home, *home.parents) if folder.is_dir())
    check_is_local(existing)
    with tempfile.TemporaryFile(dir=existing):
        pass
    free_gb = os.statvfs(existing).f_bavail * os.statvfs(existing).f_frsize / 1e9
    return f"{home}{'' if existing == home else ', will be made'}, {free_gb:.0f} GB free"


def _workers() -> str:
    import multiprocessing

    from graphnas.experiment.executors.process import usable_cores

    process = multiprocessing.get_context("spawn").Process(target=_nothing)
    process.start()
    process.join(60)
    if process.exitcode != 0:
        process.kill()
        raise RuntimeError(f"a process that was to do nothing ended with {process.exitcode}")
    return f"start; {usable_cores()} would use every core"


def _nothing() -> None:
    """Run in a worker process."""
