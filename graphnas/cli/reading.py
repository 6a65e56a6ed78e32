"""What the commands do that read: experiments and trials as text and as JSON. Imports no torch."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from graphnas.cli.output import human_output_aside, print_json
from graphnas.errors import ConfigError, ExperimentError, StoreError
from graphnas.experiment.folders import TRIALS_NAME, find_experiment, home_of, list_experiments, remove_experiment
from graphnas.experiment.results import Results
from graphnas.experiment.stopping import stop_experiment
from graphnas.experiment.store import Reader
from graphnas.experiment.summary import counted, format_duration, format_time, state_of
from graphnas.experiment.tables import first_line, one_line, print_table, shown
from graphnas.experiment.trial import LOG_NAME, SOURCE_NAME, Trial, TrialStatus

_LOG_LINES = 20
_LOG_BYTES = 20_000


@contextmanager
def opened(identifier: str, home: str | None) -> Iterator[Results]:
    """Open the results of an experiment for reading.

    Raises:
        StoreError: There is none, several begin so, or it cannot be read.
    """
    with closing(Reader.read(find_experiment(identifier, home))) as store:
        yield Results(store)


def described(results: Results) -> dict[str, Any]:
    """Return an experiment as JSON: what it is, where it is, and how far."""
    summary, stored = results.store.summary(), results.store.describe()
    top = results.top(1)
    return {
        "id": summary.id,
        "name": summary.name,
        "state": state_of(summary),
        "folder": str(results.directory),
        "created_at": summary.created_at,
        "elapsed_s": summary.elapsed_s,
        "counts": summary.counts,
        "max_trial_number": stored.config.get("max_trial_number"),
        "objectives": results.objectives,
        "best": top[0].metric if top else None,
        "best_trial": top[0].number if top else None,
        "config": stored.config,
    }


def listed(folder: Path) -> dict[str, Any]:
    """Return the experiment of a folder as JSON; one that cannot be read says why."""
    try:
        with closing(Reader.read(folder)) as store:
            return described(Results(store))
    except StoreError as error:
        return {"id": folder.name, "state": "unreadable", "folder": str(folder), "error": str(error), "counts": {}}


def list_all(home: str | None, as_json: bool) -> None:
    """Print the experiments of a home; one that cannot be read says why, in its place."""
    folder = home_of(home)
    found = [listed(path) for path in list_experiments(folder)]
    if as_json:
        print_json(found)
        return
    if not found:
        print(f"no experiments in {folder}", file=sys.stderr)
        return
    rows = [_row(entry) for entry in found]
    headings = ("ID", "NAME", "STATE", "TRIALS", "BEST", "BEGUN", "TIME")
    print_table(f"Experiments in {folder}", headings, rows, right=(3, 4, 6), whole=(0,))


def print_experiment(results: Results, top: list[Trial], chosen: list[Trial] | None, as_json: bool) -> None:
    """Print an experiment with the trials that were chosen, or else with its best ones."""
    form = described(results)
    if as_json:
        form["top"] = [row.to_row() for row in top]
        print_json(form if chosen is None else {**form, "trials": [row.to_row() for row in chosen]})
        return
    total = sum(form["counts"].values())
    budget = "" if form["max_trial_number"] is None else f" ({_out_of(total, form['max_trial_number'])})"
    objectives = ", ".join(f"{mode} {name}" for name, mode in form["objectives"].items())
    best = "none" if form["best"] is None else f"{shown(form['best'])} (trial {form['best_trial']})"
    print(f"experiment  {form['id']}{' ' + form['name'] if form['name'] else ''}")
    print(f"state       {form['state']}")
    print(f"begun       {format_time(form['created_at'])}, ran for {format_duration(form['elapsed_s'])}")
    print(f"trials      {counted(form['counts'])}{budget}")
    print(f"best        {best}, {objectives}")
    print(f"folder      {form['folder']}")
    _print_trials("Best trials" if chosen is None else "Trials", top if chosen is None else chosen)
    if chosen is None:
        _print_failures(results.store, form["id"])


def print_trial(results: Results, number: int, as_json: bool) -> None:
    """Print everything about one trial.

    Raises:
        StoreError: There is no such trial.
    """
    row = trial_of(results.store, number)
    folder = results.directory / TRIALS_NAME / str(number)
    steps = results.store.intermediate(number)
    tail, source = _tail(folder / LOG_NAME), folder / SOURCE_NAME
    if as_json:
        kept = str(source) if source.exists() else None
        print_json({**row.to_row(), "intermediate": steps, "log": tail, "source": kept, "folder": str(folder)})
        return
    lines = [("number", str(number))]
    plain = asdict(row)
    for name in ("decisions", "metrics", "traceback", "number"):
        del plain[name]
    for name, value in plain.items():
        if value not in (None, "", 0):
            lines.append((name, format_time(value) if name.endswith("_at") else shown(value)))
    lines += [("decision", f"{label} = {value!r}") for label, value in row.decisions.items()]
    lines += [("metric", f"{label} = {shown(value)}") for label, value in (row.metrics or {}).items()]
    if steps:
        reported = ", ".join(shown(step["default"] if isinstance(step, dict) else step) for step in steps[-10:])
        lines.append(("reported", f"{reported} (the last 10 of {len(steps)})" if len(steps) > 10 else reported))
    lines.append(("folder", str(folder)))
    for name, text in lines:
        print(f"{name:<18}{text}")
    if row.traceback:
        print(f"\n{row.traceback.rstrip()}")
    if tail and not row.traceback.rstrip().endswith(tail[-1]):
        print(f"\nlast lines of {folder / LOG_NAME}:")
        print("\n".join(tail))


def chosen_trials(store: Reader, *, last: int, first: int | None, count: int, status: str | None) -> list[Trial] | None:
    """Return the trials that options ask for, or None where none does.

    Raises:
        ConfigError: There is no such status.
    """
    if status is not None:
        known = {kind.value.lower(): kind for kind in TrialStatus}
        if status.lower() not in known:
            raise ConfigError(f"--status: expected one of {', '.join(known)}, got {status!r}")
        return [row for row in store.of_status(known[status.lower()]) if row.number >= (first or 0)][:count]
    if first is not None:
        return store.trials(first, count)
    return store.latest(last) if last else None


def trial_of(store: Reader, number: int) -> Trial:
    """Return a trial by its number.

    Raises:
        StoreError: There is none.
    """
    row = store.trial(number)
    if row is None:
        count = store.next_number()
        there = f"they are numbered from 0 to {count - 1}" if count else "there are none yet"
        raise StoreError(f"there is no trial {number}; {there}")
    return row


def export_trials(
    results: Results, trials: Sequence[Trial], form: str, output: Path | None, *, run_code: bool, as_json: bool
) -> None:
    """Print or write candidates in a form.

    Raises:
        ExperimentError: There are none, their source was not kept, or a file cannot be written.
    """
    folder = results.directory
    if not trials:
        raise ExperimentError(f"experiment {folder.name}: no trial has completed, so there is nothing to export")
    with human_output_aside(as_json):
        maker = _with_code(results) if run_code and form == "code" else results
        texts = [_text_of(maker, row, form) for row in trials]
    files = []
    if output is not None:
        files = [_write(folder, output, row, text, form) for row, text in zip(trials, texts, strict=True)]
    if as_json:
        rows: list[dict[str, Any]] = [
            {"number": row.number, "metric": row.metric, "decisions": row.decisions} for row in trials
        ]
        for index, row in enumerate(rows):
            row |= {"source": texts[index]} if form == "code" else {}
            row |= {"file": str(files[index])} if files else {}
        print_json(rows)
        return
    for path in files:
        print(path)
    for trial, text in zip(trials, texts, strict=True) if not files else ():
        if form == "code" and len(trials) > 1:
            print(f"# trial {trial.number}, metric {shown(trial.metric)}")
        constants = _constants_of(folder, trial, text) if form == "code" else None
        if constants is not None:
            print(f"graphnas: this source reads {constants}, which --output DIR copies beside it", file=sys.stderr)
        print(text.rstrip("\n"))


def stop(identifier: str, home: str | None, timeout_s: float, as_json: bool) -> None:
    """End a running experiment, and say how far it came.

    Raises:
        StoreError: There is none, it cannot be ended from here, or it does not end in time.
    """
    folder = find_experiment(identifier, home)
    process = stop_experiment(folder, timeout_s)
    with closing(Reader.read(folder)) as store:
        form = described(Results(store))
    if as_json:
        print_json({**form, "stopped_process": process})
    elif process is None:
        print(f"{form['id']} is not running: {form['state']}")
    else:
        print(f"{form['id']} was ended (process {process}); continue it with graphnas resume {form['id']}")


def remove(identifiers: Sequence[str], home: str | None, *, is_agreed: bool, as_json: bool) -> None:
    """Delete experiments, after a question if nobody has agreed yet.

    Raises:
        ConfigError: Nobody is there to be asked.
        StoreError: One is not there, is running, or cannot be deleted.
        typer.Exit: The answer was no.
    """
    folders = list(dict.fromkeys(find_experiment(identifier, home) for identifier in identifiers))
    if not is_agreed:
        if as_json or not sys.stdin.isatty():
            raise ConfigError("rm: nobody is there to be asked; give --yes to delete")
        for folder in folders:
            entry = listed(folder)
            print(f"{folder}: {entry['state']}, {sum(entry['counts'].values())} trials")
        if not typer.confirm(f"Delete {len(folders)} experiment{'s' if len(folders) > 1 else ''}?"):
            raise typer.Exit(1)
    removed = []
    for folder in folders:
        left = remove_experiment(folder)
        removed.append({"folder": str(folder), "left": list(left)})
        if not as_json:
            print(f"deleted {folder}" + (f", but for what is not its own: {', '.join(left)}" if left else ""))
    if as_json:
        print_json(removed)


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    created_at, elapsed_s = entry.get("created_at"), entry.get("elapsed_s")
    return (
        entry["id"],
        entry.get("name") or "",
        entry.get("error") or entry["state"],
        _out_of(sum(entry["counts"].values()), entry.get("max_trial_number")),
        shown(entry.get("best")),
        "" if created_at is None else format_time(created_at),
        "" if elapsed_s is None else format_duration(elapsed_s),
    )


def _print_trials(title: str, trials: Sequence[Trial]) -> None:
    if not trials:
        return
    print()
    rows = [
        (
            str(row.number),
            row.status.value,
            shown(row.metric),
            "" if row.duration_s is None else format_duration(row.duration_s),
            first_line(row.error)[:100] if row.error else one_line(row.decisions),
        )
        for row in trials
    ]
    headings = ("TRIAL", "STATUS", "METRIC", "TIME", "DECISIONS OR ERROR")
    print_table(title, headings, rows, right=(0, 2, 3), whole=(0, 1, 2))


def _print_failures(store: Reader, identifier: str) -> None:
    counts = store.counts()
    failed = [status for status in TrialStatus if status.is_failure and counts.get(status.value)]
    if not failed:
        return
    print()
    for status in failed:
        row = store.of_status(status)[0]
        print(f"first {status.value.lower()}: trial {row.number}: {first_line(row.error)}")
    print(f"graphnas show {identifier} TRIAL says more; --status {failed[0].value.lower()} lists them")


def _with_code(results: Results) -> Results:
    """Return results that can make source, which imports the experiment's code."""
    from graphnas.cli.named import import_from
    from graphnas.experiment.engines import space_from_json
    from graphnas.experiment.experiment import RetiariiExperiment

    folder, form = results.directory, results.store.describe().space
    if form is None:
        raise ExperimentError(
            f"experiment {folder.name}: the store could not keep its model, as there was no name by which to import "
            f"it; hand it over in Python: RetiariiExperiment.view({str(folder)!r}, base_model=...)"
        )
    import_from(Path.cwd())
    with redirect_stdout(io.StringIO()):  # the summary is not what was asked for
        return RetiariiExperiment.view(str(folder), base_model=space_from_json(form))


def _text_of(results: Results, row: Trial, form: str) -> str:
    if form == "code":
        return results.source_of(row)
    return json.dumps(row.decisions, indent=2 if form == "json" else None, ensure_ascii=False)


def _write(folder: Path, output: Path, row: Trial, text: str, form: str) -> Path:
    name = f"{folder.name}-trial-{row.number}"
    path = output / f"{name}{'.py' if form == 'code' else '.json'}"
    constants = _constants_of(folder, row, text)
    try:
        if constants is not None:  # the source names the file, so the two need a folder of their own
            path = output / name / SOURCE_NAME
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(constants, path.parent / constants.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as error:
        raise ExperimentError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _constants_of(folder: Path, row: Trial, text: str) -> Path | None:
    """Return the file of tensors that are too large for source, where the source of a trial needs one."""
    path = (folder / TRIALS_NAME / str(row.number) / SOURCE_NAME).with_suffix(".safetensors")
    return path if path.exists() and path.name in text else None


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            return file.read().decode("utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        return []


def _out_of(count: int, total: int | None) -> str:
    return str(count) if total is None else f"{count}/{total}"
