"""`graphnas bench`: build, verify and list the databases of benchmarks, and compare strategies on them.

What the commands need is imported when they run, so that help comes at once.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from graphnas.benchmarks.compare_cli import compare
from graphnas.errors import GraphNASError

_FAILED = 1
_C = TypeVar("_C", bound=Callable[..., Any])

app = typer.Typer(
    name="bench",
    help="Build, verify and list databases of NAS benchmarks, and compare strategies on them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,  # it is mounted by the command line, which has one
)

Name = Annotated[str, typer.Argument(metavar="BENCHMARK", help="nasbench101, nasbench201, natsbench_sss or nds.")]
Directory = Annotated[
    Path | None,
    typer.Option("--dir", help="Folder of the databases, else $GRAPHNAS_BENCHMARK_DIR, else the user's cache."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _command(function: _C) -> _C:
    """Return a command that says an error on stderr and ends with exit code 1."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except GraphNASError as error:
            if kwargs.get("as_json"):
                _print_json({"error": {"kind": type(error).__name__, "message": str(error), "exit_code": _FAILED}})
            else:
                print(f"graphnas: {error}", file=sys.stderr)
            raise typer.Exit(_FAILED) from error

    return run  # type: ignore[return-value]  # functools.wraps keeps the signature


@app.command("build")
@_command
def build(
    benchmark: Name,
    sources: Annotated[
        list[Path], typer.Option("--from", metavar="FILE", help="A published file or folder; tables may be several.")
    ],
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Build the database of a benchmark from published files, or go on with a build that was stopped."""
    from graphnas.benchmarks import build as building
    from graphnas.benchmarks.catalogue import find

    with _progress() as progress:
        report = building.build(find(benchmark), sources, directory=directory, progress=progress)
    if as_json:
        _print_json({**vars(report), "path": str(report.path)})
        return
    print(
        f"{report.path}: {report.configs:,} configurations, {report.trials:,} trials and "
        f"{report.intermediates:,} measurements on the way, from {report.layout}"
    )
    missing = [field for field, fraction in report.told.items() if fraction == 0]
    partial = [f"{field} ({fraction:.1%})" for field, fraction in report.told.items() if 0 < fraction < 1]
    if missing:
        print(f"NULL, since the sources do not tell it: {', '.join(missing)}")
    if partial:
        print(f"told of some trials, else NULL: {', '.join(partial)}")
    print(f"next: graphnas bench verify {benchmark}")


@app.command("verify")
@_command
def verify(benchmark: Name, directory: Directory = None, as_json: Json = False) -> None:
    """Compare a database with its checksum and with what was published of the benchmark; exit code 1 if they differ."""
    from graphnas.benchmarks.catalogue import verify as verified

    with _progress() as progress:
        facts = verified(benchmark, directory, progress)
    if as_json:
        _print_json([fact._asdict() for fact in facts])
    else:
        words = {True: "ok", False: "DIFFERS", None: "not told by the sources"}
        for fact in facts:
            found = "" if fact.found is None else f", found {fact.found}"
            print(f"{words[fact.holds]}: {fact.what}: expected {fact.expected}{found}")
    if any(fact.holds is False for fact in facts):
        raise typer.Exit(_FAILED)


@app.command("ls")
@_command
def ls(directory: Directory = None, as_json: Json = False) -> None:
    """List the benchmarks, where their databases lie, and what they were built from."""
    from graphnas.benchmarks.catalogue import NAMES, installed

    found = [installed(name, directory) for name in NAMES]
    if as_json:
        _print_json([{**vars(item), "path": str(item.path)} for item in found])
        return
    for item in found:
        if item.size_bytes is None:
            print(f"{item.name}: {item.problem}")
        else:
            size = f"{item.size_bytes / 1e6:,.1f} MB"
            print(f"{item.name}: {item.path}, {size}, {item.trials:,} trials, from {', '.join(item.sources)}")


app.command("compare")(_command(compare))


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False))


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """Show what is going on, as a bar where stderr is a terminal, and not at all elsewhere."""
    if not sys.stderr.isatty():
        yield lambda what, done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting", total=1.0)
        yield lambda what, done: bars.update(task, description=what, completed=done)
