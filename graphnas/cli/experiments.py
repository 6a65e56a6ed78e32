"""Commands that read what was run: `ls`, `show`, `view`, `export`; and `stop` and `rm`.

None of them runs code of an experiment, unless `export --run-code` says so. What they do is in `reading`, which each
imports when it is called, so that help comes at once.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from graphnas.cli.options import Home, Id, Json
from graphnas.cli.output import command


class Format(StrEnum):
    """Forms in which a candidate is exported."""

    DICT = "dict"
    JSON = "json"
    CODE = "code"


class Mode(StrEnum):
    """Which metric is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


@command
def ls(home: Home = None, as_json: Json = False) -> None:
    """List the experiments, the latest last."""
    from graphnas.cli import reading

    reading.list_all(home, as_json)


@command
def show(
    experiment: Id,
    trial: Annotated[int | None, typer.Argument(min=0, metavar="TRIAL", help="Number of one trial.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials.")] = 10,
    last: Annotated[int, typer.Option(min=0, help="List so many of the latest trials instead.")] = 0,
    first: Annotated[int | None, typer.Option("--from", min=0, help="List trials from this number on instead.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many trials --from and --status list at most.")] = 50,
    status: Annotated[str | None, typer.Option(help="List trials of this status instead, as failed.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show an experiment with its best trials, or one trial with its metrics, error and log."""
    from graphnas.cli import reading

    with reading.opened(experiment, home) as results:
        if trial is not None:
            reading.print_trial(results, trial, as_json)
            return
        chosen = reading.chosen_trials(results.store, last=last, first=first, count=count, status=status)
        reading.print_experiment(results, results.top(top), chosen, as_json)


@command
def view(experiment: Id, home: Home = None, as_json: Json = False) -> None:
    """Print the summary of an experiment: finished, running or of somebody else."""
    from graphnas.cli import reading

    with reading.opened(experiment, home) as results:
        reading.print_experiment(results, results.top(5), None, as_json)


@command
def export(
    experiment: Id,
    top: Annotated[int, typer.Option(min=1, help="How many of the best candidates.")] = 1,
    trial: Annotated[int | None, typer.Option(min=0, help="This trial instead of the best ones.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="Which metric is better; else as the strategy had it.")] = None,
    form: Annotated[
        Format,
        typer.Option("--format", "-f", help="dict: decisions in a line; json: a file for fixed_arch; code: source."),
    ] = Format.DICT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write a file for each candidate there.")
    ] = None,
    run_code: Annotated[
        bool, typer.Option("--run-code", help="Import the experiment's code to make source that was not kept.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print or write the best candidates: decisions, or plain PyTorch source."""
    from graphnas.cli import reading

    with reading.opened(experiment, home) as results:
        chosen = results.top(top, mode) if trial is None else [reading.trial_of(results.store, trial)]
        reading.export_trials(results, chosen, form, output, run_code=run_code, as_json=as_json)


@command
def stop(
    experiment: Id,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the end.")] = 30,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """End an experiment that another process of this machine runs; `resume` continues it."""
    from graphnas.cli import reading

    reading.stop(experiment, home, timeout, as_json)


@command
def rm(
    experiment: Annotated[
        list[str],
        typer.Argument(metavar="ID...", help="Ids, beginnings of ids, or paths of folders.", show_default=False),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Delete experiments with all their results; one that is running is refused."""
    from graphnas.cli import reading

    reading.remove(experiment, home, is_agreed=yes, as_json=as_json)
