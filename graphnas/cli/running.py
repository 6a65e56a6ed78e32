"""Commands that run experiments: `run` and `resume`."""

from __future__ import annotations

import runpy
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from graphnas.cli.options import Home, Id, Json, Setting
from graphnas.cli.output import command, human_output_aside, print_json
from graphnas.errors import ConfigError


@command
def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="CONFIG.yaml|SCRIPT.py", help="What to run.", show_default=False)],
    settings: Setting = None,
    debug: Annotated[bool, typer.Option(help="Print the traceback of each failing trial.")] = False,
    as_json: Json = False,
) -> None:
    """Run an experiment: one described in YAML, or a script, with further arguments for it."""
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file")
    if file.suffix == ".py":
        if settings or debug:
            raise ConfigError("--set and --debug: a script configures itself; give it its own arguments")
        _run(lambda: _run_script(file, context.args), as_json)
        return
    if context.args:
        raise ConfigError(f"{context.args[0]}: no such argument; fields of the configuration are set by --set")
    from graphnas.cli.plan import parse_settings, read_plan  # torch, when it is certain that it is needed

    def run_plan() -> None:
        experiment, config = read_plan(file, parse_settings(settings))
        experiment.run(config, debug=debug)

    _run(run_plan, as_json)


@command
def resume(
    experiment: Id,
    settings: Setting = None,
    debug: Annotated[bool, typer.Option(help="Print the traceback of each failing trial.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Continue an experiment where it ended, with the budgets and fields that are set."""
    from graphnas.cli.named import import_from
    from graphnas.cli.plan import parse_settings
    from graphnas.experiment.experiment import RetiariiExperiment

    fields = parse_settings(settings)
    import_from(Path.cwd())

    def run_on() -> None:
        RetiariiExperiment.resume(experiment, debug=debug, experiment_working_directory=home, **fields)

    _run(run_on, as_json)


def _run(work: Any, as_json: bool) -> None:
    """Run, and with `--json` print the state of every experiment that was run, however it ended."""
    from graphnas.cli.reading import listed
    from graphnas.experiment import session

    before = len(session.begun)
    try:
        with human_output_aside(as_json), _terminated_in_order():
            work()
    finally:
        if as_json and session.begun[before:]:
            print_json([listed(folder) for folder in session.begun[before:]])


def _run_script(file: Path, arguments: list[str]) -> None:
    """Run a script as Python would."""
    argv, path = sys.argv, list(sys.path)
    sys.argv = [str(file), *arguments]
    sys.path.insert(0, str(file.resolve().parent))
    try:
        runpy.run_path(str(file), run_name="__main__")
    finally:
        sys.argv = argv
        sys.path[:] = path


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Let SIGTERM end the command by an exception also before and after the search, which handles it itself."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
