"""`graphnas bench compare`. What it needs is imported when it runs, so that help comes at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from graphnas.errors import BenchmarkError, ConfigError


def compare(
    benchmarks: Annotated[
        list[str],
        typer.Option(
            "--benchmark", "-b", metavar="NAME", help="A search task, as nasbench201-cifar10, or all of a benchmark."
        ),
    ],
    strategies: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Names separated by commas, with arguments: 'random,evolution(population_size=10)'."
        ),
    ] = "random,evolution,local",
    runs: Annotated[int, typer.Option(help="Searches with each strategy.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the first search; each further one has the next.")] = 0,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Simulated time of a search, as 20000 or 6h; else that of the protocol."),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Number of trials of a search.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Length of the training of a trial.")] = None,
    metric: Annotated[str | None, typer.Option(help="What a strategy is told; else valid_acc.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; else as many as there are processors.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw regret against time, one TASK.svg for each task.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write all searches to a JSON file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare strategies on benchmarks: many searches each, with simulated time, and a table of what came out."""
    from graphnas.benchmarks.compare import Comparison, draw, read_contestants, report
    from graphnas.benchmarks.compare import compare as compared
    from graphnas.benchmarks.search import task_names
    from graphnas.experiment.config import parse_duration

    contestants = read_contestants(strategies)
    budget_s = None if budget is None else parse_duration("budget", budget)
    if trials is not None and trials < 1:
        raise ConfigError(f"trials: expected a whole number of at least 1, got {trials}", field="trials")
    found: list[Comparison] = []
    for task in _tasks(benchmarks, task_names()):
        with _progress(task) as progress:
            comparison = compared(
                task,
                contestants,
                runs=runs,
                seed=seed,
                budget_s=budget_s,
                max_trials=trials,
                epochs=epochs,
                metric=metric,
                jobs=jobs,
                progress=progress,
            )
        found.append(comparison)
        if not as_json:
            _print_table(report.to_table(comparison))
        if plot is not None:
            _write(plot / f"{task}.svg", draw(comparison))
    if as_json:
        print(json.dumps([report.to_json(comparison) for comparison in found], indent=2, allow_nan=False))
    if output is not None:
        _write(output, json.dumps([comparison.to_json() for comparison in found], allow_nan=False) + "\n")


def _tasks(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the tasks of names; that of a benchmark stands for all its tasks."""
    tasks: dict[str, None] = {}
    for name in names:
        of_name = [task for task in known if task == name or task.startswith(f"{name}-")]
        if not of_name:
            raise BenchmarkError(
                f"benchmark: expected one of {', '.join(known)}, or what they begin with, got {name!r}"
            )
        tasks.update(dict.fromkeys(of_name))
    return list(tasks)


def _print_table(table: object) -> None:
    from rich.console import Console

    is_seen = sys.stdout.isatty()
    Console(width=None if is_seen else 120).print(table)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be written: {error}") from error
    print(f"wrote {path}", file=sys.stderr)


@contextmanager
def _progress(task: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many searches are done, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(task, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
