"""The experiment: what a user starts, stops, resumes and takes results from."""

from __future__ import annotations

import contextlib
import datetime
import logging
import secrets
import signal
import time
import warnings
from pathlib import Path
from typing import Any

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment import description as describing
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.console import RunConsole, print_summary
from graphnas.experiment.engines import Space, TrialWork, pack_work
from graphnas.experiment.evaluators import Evaluator
from graphnas.experiment.executors import Executor, InProcessExecutor, ProcessExecutor
from graphnas.experiment.joint import JointSpace, with_choices_of
from graphnas.experiment.search import Ending, Reason, Search
from graphnas.experiment.signals import Signals
from graphnas.experiment.store import Store
from graphnas.experiment.strategies import Strategy
from graphnas.experiment.strategies.base import OPTIMIZE_MODES
from graphnas.experiment.trial import Trial, TrialStatus

_FORMATTERS = ("dict", "code")
_LEADERBOARD_ROWS = 5


class RetiariiExperiment:
    """A search over the variants of a model.

    Args:
        base_model: A model with choices, built under `@model_wrapper`; an `ir.Model`; or a `ModelSpace`.
        evaluator: What gives a candidate its metric.
        applied_mutators: Mutators that edit the base model, in the order of their application.
        strategy: What chooses the candidates.
        trainer: The old name of `evaluator`; deprecated.

    Attributes:
        id: Name of the experiment: date, time and four random characters. The folder is named by it, unless
            `experiment_directory` names one.

    Raises:
        ConfigError: An argument is of a wrong kind.
    """

    def __init__(
        self,
        base_model: Any = None,
        evaluator: Evaluator | None = None,
        applied_mutators: Any = None,
        strategy: Strategy | None = None,
        trainer: Evaluator | None = None,
    ) -> None:
        if trainer is not None:
            warnings.warn("trainer= is the old name of evaluator=; use that", DeprecationWarning, stacklevel=2)
            if evaluator is not None:
                raise ConfigError("trainer: is the old name of evaluator; give only evaluator", field="trainer")
            evaluator = trainer
        _check_kind("evaluator", evaluator, Evaluator, "a function is wrapped by FunctionalEvaluator(function)")
        _check_kind("strategy", strategy, Strategy, "a class of strategies is to be called, as in Random(seed=0)")
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        self.id = f"{now}-{secrets.token_hex(2)}"
        self._base_model = base_model
        self._mutators = applied_mutators
        self._evaluator = evaluator
        self._strategy = strategy
        self._space: Space | None = None
        self._store: Store | None = None
        self._search: Search | None = None
        self._forms: dict[str, Any] = {}

    @property
    def directory(self) -> Path:
        """The folder of the experiment.

        Raises:
            ExperimentError: The experiment has not been run.
        """
        return self._opened().directory

    def run(self, config: RetiariiExeConfig | None = None, port: int = 8080, debug: bool = False) -> None:
        """Search until a budget is spent, nothing is left to ask, or the run is stopped. Blocks until then.

        Ends within seconds of its reason, says which it was and how to go on. Ctrl-C and SIGTERM keep all finished
        trials and cancel the running ones, which run again when the experiment is resumed.

        Args:
            config: How to run; None runs one worker without any budget.
            port: Accepted for compatibility; nothing listens.
            debug: Print the traceback of each failing trial.

        Raises:
            ConfigError: The configuration contradicts itself, or a part of the experiment is missing.
            StoreError: The folder holds an experiment, or cannot be written.
            EvaluationError: No trial has completed; holds the first traceback.
            ExperimentError: Workers cannot be started, or the experiment was run before.
            KeyboardInterrupt: The run was interrupted by Ctrl-C.
            SystemExit: The run was ended by SIGTERM; the code is 143.
        """
        describing.check_not_importing()
        if self._store is not None:
            raise ExperimentError(
                f"experiment {self.id} was run already; continue it with RetiariiExperiment.resume({self.id!r})"
            )
        config = RetiariiExeConfig() if config is None else config
        config.validate()
        if self._evaluator is None:
            raise ConfigError("evaluator: is missing; give one to RetiariiExperiment(...)", field="evaluator")
        if self._strategy is None:
            raise ConfigError("strategy: is missing; give one to RetiariiExperiment(...)", field="strategy")
        model_space = describing.pick_model_space(self._base_model, self._mutators)
        self._space = with_choices_of(model_space, self._evaluator.choices())
        stored = describing.describe(self.id, config, self._space, self._evaluator, self._strategy)
        missing = describing.missing_forms(stored)
        if missing:
            warnings.warn(
                f"{' and '.join(missing)}: cannot be stored by name, as a lambda, a closure or a notebook's class; the "
                f"experiment can be resumed only with resume(..., {', '.join(f'{name}=...' for name in missing)})",
                UserWarning,
                stacklevel=2,
            )
        self._store = Store.create(config.folder(self.id), stored)
        self._run(config, debug)

    def stop(self) -> None:
        """End a run that goes on in another thread; as after Ctrl-C, running trials run again when it is resumed."""
        if self._search is not None:
            self._search.request_stop()

    @staticmethod
    def resume(
        experiment_id: str,
        port: int = 8080,
        debug: bool = False,
        *,
        base_model: Any = None,
        evaluator: Evaluator | None = None,
        applied_mutators: Any = None,
        strategy: Strategy | None = None,
        experiment_working_directory: str | None = None,
        **fields: Any,
    ) -> RetiariiExperiment:
        """Continue an experiment where it ended, and return it once it has ended again.

        Finished trials stay; those that were running run again under their number, with the same decisions and seed.

        Args:
            experiment_id: The id, or the path of the experiment's folder.
            port: Accepted for compatibility.
            debug: Print the traceback of each failing trial.
            base_model: The base model, where the store could not keep it.
            evaluator: The evaluator, where the store could not keep it, or another one for the trials to come.
            applied_mutators: The mutators that belong to `base_model`.
            strategy: The strategy, where the store could not keep it.
            experiment_working_directory: Folder in which the experiment's folder is, if not the usual one.
            **fields: Budgets and other fields of the configuration that are to change, such as `max_trial_number`.

        Raises:
            StoreError: There is no such experiment, it cannot be read, or another process runs it.
            ConfigError: A field is unknown, wrong, or cannot change.
            ExperimentError: A part of the experiment is neither kept nor given, or the model has changed; and as `run`.
        """
        describing.check_not_importing()
        folder = describing.find_experiment(experiment_id, experiment_working_directory)
        experiment = RetiariiExperiment(None, evaluator, None, strategy)
        is_kept = evaluator is None
        store = Store.open(folder, writable=True)
        try:
            stored = store.describe()
            config = describing.change_config(stored, fields)
            config.validate()
            given = None if base_model is None else describing.pick_model_space(base_model, applied_mutators)
            space, evaluator, strategy = describing.rebuild(stored, given, evaluator, strategy)
            current = describing.describe(stored.id, config, space, evaluator, strategy)
            store.update_description(current)
        except BaseException:
            store.close()
            raise
        experiment.id, experiment._store = stored.id, store
        experiment._space, experiment._evaluator, experiment._strategy = space, evaluator, strategy
        experiment._forms = {
            "space_form": current.space if base_model is None else None,
            "evaluator_form": current.evaluator if is_kept else None,
        }
        experiment._run(config, debug)
        return experiment

    def trials(self) -> list[dict[str, Any]]:
        """Return all trials as dictionaries, in the order of their numbers.

        Keys: `number`, `status`, `decisions`, `seed`, `metric` (the number that is optimised), `metrics` (all, if the
        evaluator reported a dictionary), `fingerprint`, `duration_s`, `error`, `traceback`.

        Raises:
            ExperimentError: The experiment has not been run.
        """
        return [trial.to_row() for trial in self._opened().trials()]

    @property
    def best(self) -> dict[str, Any] | None:
        """The best completed trial in the strategy's mode, as in `trials`; None before one has completed.

        Raises:
            ExperimentError: The experiment has not been run.
        """
        top = self._top(1, None)
        return top[0].to_row() if top else None

    def export_top_models(
        self, top_k: int = 1, optimize_mode: str | None = None, formatter: str = "dict"
    ) -> list[dict[str, Any]] | list[str]:
        """Return the best candidates, the best first; fewer than `top_k` if fewer have completed.

        Args:
            top_k: How many.
            optimize_mode: `'maximize'` or `'minimize'`; None is the strategy's, which is `'maximize'` by default.
            formatter: `'dict'` for decisions, label to value; `'code'` for Python source.

        Raises:
            ConfigError: An argument is none of these.
            ExperimentError: The experiment has not been run.
            CodegenError: No source can be generated for a candidate.
        """
        if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
            raise ConfigError(f"top_k: expected a whole number of at least 1, got {top_k!r}", field="top_k")
        if optimize_mode is not None and optimize_mode not in OPTIMIZE_MODES:
            raise ConfigError(
                f"optimize_mode: expected 'maximize' or 'minimize', got {optimize_mode!r}", field="optimize_mode"
            )
        if formatter not in _FORMATTERS:
            raise ConfigError(f"formatter: expected 'dict' or 'code', got {formatter!r}", field="formatter")
        top = self._top(top_k, optimize_mode)
        if formatter == "dict":
            return [trial.decisions for trial in top]
        if self._space is None:
            raise ExperimentError("the experiment has no model space; run or resume it before exporting code")
        from graphnas import codegen  # libcst, which only this needs

        return [codegen.to_source(self._space.freeze(trial.decisions)) for trial in top]

    def _opened(self) -> Store:
        if self._store is None:
            raise ExperimentError(f"experiment {self.id} has not been run; call run() first")
        return self._store

    def _top(self, count: int, optimize_mode: str | None) -> list[Trial]:
        mode = optimize_mode or (self._strategy.optimize_mode if self._strategy else "maximize")
        return self._opened().top(count, maximize=mode == "maximize")

    def _run(self, config: RetiariiExeConfig, debug: bool) -> None:
        store, space, evaluator, strategy = self._store, self._space, self._evaluator, self._strategy
        if store is None or space is None or evaluator is None or strategy is None:
            raise RuntimeError("run() and resume() complete the experiment before they start it")
        models = space.model if isinstance(space, JointSpace) else space
        work = TrialWork(config.engine_name, models, evaluator)
        if config.log_level is not None:
            logging.getLogger("graphnas").setLevel(config.log_level.upper())
        strategy.bind(space.domains, config.seed)
        started = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                signals = stack.enter_context(Signals())
                executor = stack.enter_context(_open_executor(config, work, self._forms))
                console = stack.enter_context(self._console(config, debug))
                self._search = Search(store, space, strategy, executor, config, console, signals)
                ending = self._search.run()
            self._say_end(ending, config, time.monotonic() - started)
        finally:
            self._search = None
            store.close()
        if ending.failure is not None:
            raise ending.failure
        if ending.reason is Reason.INTERRUPTED:
            if ending.signal == signal.SIGTERM:
                raise SystemExit(128 + signal.SIGTERM)
            raise KeyboardInterrupt

    def _console(self, config: RetiariiExeConfig, debug: bool) -> RunConsole:
        top = self._top(1, None)
        best = (top[0].metric, top[0].number) if top and top[0].metric is not None else None
        done = sum(trial.status.is_final for trial in self._opened().trials())
        maximize = self._strategy is None or self._strategy.optimize_mode == "maximize"
        return RunConsole(config.max_trial_number, done, best, maximize=maximize, debug=debug or config.debug)

    def _say_end(self, ending: Ending, config: RetiariiExeConfig, seconds: float) -> None:
        store = self._opened()
        counts: dict[str, int] = {}
        for trial in store.trials():
            counts[trial.status.value.lower()] = counts.get(trial.status.value.lower(), 0) + 1
        shown = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none"
        name = f" ({config.experiment_name})" if config.experiment_name else ""
        ended = f"Experiment {self.id}{name} ended after {seconds:.1f} s: {ending.reason.value}."
        call = describing.resume_call(store.describe(), store.directory)
        lines = [f"{ended} Trials: {shown}. Results are in {store.directory}"]
        if ending.reason is Reason.TRIAL_BUDGET:
            lines.append(f"Continue with a larger budget: {call[:-1]}, max_trial_number={2 * sum(counts.values())})")
        elif ending.reason is Reason.TIME_BUDGET:
            lines.append(f"Continue with a larger budget: {call[:-1]}, max_experiment_duration=...)")
        elif ending.reason in (Reason.SPACE_EXHAUSTED, Reason.STRATEGY_DONE):
            lines.append("Next: experiment.export_top_models(formatter='code')")
        else:
            lines.append(f"Resume: {call}")
        completed = counts.get(TrialStatus.COMPLETED.value.lower(), 0)
        print_summary(lines, self._top(_LEADERBOARD_ROWS, None) if completed else [])


def _check_kind(field: str, value: object, kind: type, hint: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigError(f"{field}: expected {kind.__name__}, got {value!r}; {hint}", field=field)


def _open_executor(config: RetiariiExeConfig, work: TrialWork, forms: dict[str, Any]) -> Executor:
    executor: Executor
    if config.executor == "inprocess":
        executor = InProcessExecutor()
        executor.open(work)
        return executor
    executor = ProcessExecutor(config.trial_concurrency)
    try:
        executor.open(pack_work(work, **forms))
    except BaseException:
        executor.close()
        raise
    return executor
