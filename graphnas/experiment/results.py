"""What came of an experiment, read from its store. Nothing here runs code of the experiment, nor imports torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment.folders import TRIALS_NAME
from graphnas.experiment.objectives import OPTIMIZE_MODES, front, point
from graphnas.experiment.store import Reader
from graphnas.experiment.trial import SOURCE_NAME, Trial, TrialStatus

FORMATTERS = ("dict", "code", "instance", "json")


class TrialTable(list[dict[str, Any]]):
    """Trials as dictionaries, in a list that can become a data frame."""

    def to_dataframe(self) -> Any:
        """Return a `pandas.DataFrame` with a row for each trial.

        Decisions and metrics of several names are columns of their own: `decisions.width`, `metrics.loss`.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ConfigError("to_dataframe: needs pandas; pip install 'graphnas[table]'") from error
        return pandas.DataFrame([_flat(row) for row in self])


class Results:
    """The results of one experiment, for reading.

    Args:
        reader: The store of the experiment.
    """

    def __init__(self, reader: Reader) -> None:
        self._stored: Reader | None = reader

    @property
    def store(self) -> Reader:
        """The store behind the results.

        Raises:
            ExperimentError: There is none yet, as the experiment has not been run.
        """
        if self._stored is None:
            raise ExperimentError("the experiment has not been run; call run() or start() first")
        return self._stored

    @property
    def directory(self) -> Path:
        """The folder of the experiment.

        Raises:
            ExperimentError: The experiment has not been run.
        """
        return self.store.directory

    @property
    def objectives(self) -> dict[str, str]:
        """Name of each metric that is optimised, with `'maximize'` or `'minimize'`, as the strategy had them."""
        return objectives_of(self.store.describe().strategy)

    def trials(self) -> TrialTable:
        """Return all trials as dictionaries, in the order of their numbers; `trials().to_dataframe()` for pandas.

        Keys: `number`, `status`, `decisions`, `seed`, `metric` (the number that is optimised), `metrics` (all, if the
        evaluator reported a dictionary), `fingerprint`, `duration_s`, `error`, `traceback` and what else the store
        knows of a `Trial`.

        Raises:
            ExperimentError: The experiment has not been run.
        """
        return _table(self.store.each_trial())

    @property
    def best(self) -> dict[str, Any] | None:
        """The best completed trial in the strategy's mode, as in `trials`; None before one has completed.

        Raises:
            ExperimentError: The experiment has not been run.
        """
        top = self.top(1)
        return top[0].to_row() if top else None

    def top(self, count: int, optimize_mode: str | None = None) -> list[Trial]:
        """Return the completed trials with the best metrics, the best first; None is the strategy's mode.

        Raises:
            ConfigError: An argument is none of these.
            ExperimentError: The experiment has not been run.
        """
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigError(f"top_k: expected a whole number of at least 1, got {count!r}", field="top_k")
        if optimize_mode is not None and optimize_mode not in OPTIMIZE_MODES:
            raise ConfigError(
                f"optimize_mode: expected 'maximize' or 'minimize', got {optimize_mode!r}", field="optimize_mode"
            )
        objectives = self.objectives
        mode = optimize_mode or objectives.get("default") or next(iter(objectives.values()))
        return self.store.top(count, maximize=mode == "maximize")

    def pareto(self, objectives: Mapping[str, str] | None = None) -> TrialTable:
        """Return the completed trials that no other one beats in every objective, in the order of their numbers.

        Of trials that are equal in all objectives, each is returned.

        Args:
            objectives: Name of a metric to `'maximize'` or `'minimize'`; None takes the strategy's. `'default'` is the
                metric itself where the evaluator gave no dictionary.

        Raises:
            ConfigError: A mode is neither, there is no objective, or no trial has a metric of that name.
            ExperimentError: The experiment has not been run.
        """
        wanted = dict(self.objectives if objectives is None else objectives)
        if not wanted or any(mode not in OPTIMIZE_MODES for mode in wanted.values()):
            raise ConfigError(
                f"objectives: expected names of metrics with 'maximize' or 'minimize', got {wanted!r}",
                field="objectives",
            )
        completed = self.store.of_status(TrialStatus.COMPLETED)
        known = {name: None for trial in completed for name in trial.all_metrics}
        missing = [name for name in wanted if completed and name not in known]
        if missing:
            raise ConfigError(
                f"objectives: no trial has a metric {missing[0]!r}; there are {', '.join(map(repr, known))}",
                field=f"objectives.{missing[0]}",
            )
        points = {
            trial.number: point(trial.all_metrics, wanted.items())
            for trial in completed
            if all(name in trial.all_metrics for name in wanted)
        }
        distinct = list(set(points.values()))
        best = {distinct[place] for place in front(distinct)}
        return _table(trial for trial in completed if points.get(trial.number) in best)

    def export_top_models(self, top_k: int = 1, optimize_mode: str | None = None, formatter: str = "dict") -> list[Any]:
        """Return the best candidates, the best first; fewer than `top_k` if fewer have completed.

        Args:
            top_k: How many.
            optimize_mode: `'maximize'` or `'minimize'`; None is the strategy's, which is `'maximize'` by default.
            formatter: `'dict'` for decisions, label to value; `'json'` for the same as JSON text, which `fixed_arch`
                reads from a file; `'code'` for Python source; `'instance'` for a freshly initialised module.

        Raises:
            ConfigError: An argument is none of these.
            ExperimentError: The experiment has not been run, or only its code could make what is asked for.
            CodegenError: No source can be generated for a candidate.
        """
        if formatter not in FORMATTERS:
            raise ConfigError(
                f"formatter: expected one of {', '.join(map(repr, FORMATTERS))}, got {formatter!r}", field="formatter"
            )
        forms = {"dict": _decisions_of, "json": _json_of, "code": self.source_of, "instance": self.instance_of}
        return [forms[formatter](trial) for trial in self.top(top_k, optimize_mode)]

    def source_of(self, trial: Trial) -> str:
        """Return the source of a trial's model that was kept in the trial's folder.

        Raises:
            ExperimentError: None was.
        """
        path = self.directory / TRIALS_NAME / str(trial.number) / SOURCE_NAME
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise self._needs_code(trial, f"its source was not kept (there is no {path})") from None
        except OSError as error:
            raise ExperimentError(f"{path}: the source of trial {trial.number} cannot be read: {error}") from error

    def instance_of(self, trial: Trial) -> Any:
        """Return a freshly initialised module of a trial's decisions.

        Raises:
            ExperimentError: There is no model space to build it.
        """
        raise self._needs_code(trial, "building a module runs the code of the experiment, which reading it never does")

    def _needs_code(self, trial: Trial, reason: str) -> ExperimentError:
        identity = str(self.directory)
        return ExperimentError(
            f"trial {trial.number}: {reason}; hand over the model that the experiment searched, as in "
            f"RetiariiExperiment.view({identity!r}, base_model=...), or let graphnas import it: "
            f"graphnas export {identity} --format code --run-code"
        )


def objectives_of(strategy: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the objectives of a stored strategy: name of a metric to mode; those that are not known are maximised."""
    form: Mapping[str, Any] = {} if strategy is None else strategy
    if "objectives" in form:
        return {str(name): str(mode) for name, mode in form["objectives"]}
    mode = form.get("arguments", {}).get("optimize_mode", "maximize")
    return {"default": mode if mode in OPTIMIZE_MODES else "maximize"}


def _table(trials: Iterator[Trial]) -> TrialTable:
    return TrialTable(trial.to_row() for trial in trials)


def _decisions_of(trial: Trial) -> dict[str, Any]:
    return trial.decisions


def _json_of(trial: Trial) -> str:
    return json.dumps(trial.decisions, indent=2, allow_nan=False)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name in ("decisions", "metrics"):
            flat.update({f"{name}.{key}": item for key, item in (value or {}).items()})
        else:
            flat[name] = value
    return flat
