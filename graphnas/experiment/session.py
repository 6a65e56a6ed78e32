"""One run of an experiment, fresh or resumed: executor, signals and console around the search, and what is said after.

What belongs here: what a run needs besides the search itself. What does not: where its parts come from (`experiment`).
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphnas.experiment import description as describing
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.console import RunConsole, print_summary
from graphnas.experiment.engines import Space, TrialWork, pack_work
from graphnas.experiment.evaluators import Evaluator
from graphnas.experiment.executors import Executor, make_executor
from graphnas.experiment.folders import TRIALS_NAME, find_experiment
from graphnas.experiment.joint import JointSpace
from graphnas.experiment.results import Results
from graphnas.experiment.search import Ending, Reason, Search
from graphnas.experiment.signals import Signals
from graphnas.experiment.store import Reader, Store
from graphnas.experiment.strategies import Strategy
from graphnas.experiment.summary import counted
from graphnas.experiment.trial import SOURCE_NAME, Trial, TrialStatus

KEPT_SOURCES = 5
"""Of so many of the best candidates the source is written at the end of a run, and shown in its summary."""

_SOURCES_S = 2.0
"""No further source is begun after this time, as a run that has ended is to return."""

logger = logging.getLogger("graphnas.experiment")

begun: list[Path] = []
"""Folders of the experiments that this process has run, in the order of their beginnings."""


@dataclass
class Session:
    """Everything that one run works with; `run` may be called once.

    Attributes:
        store: Open for writing; closed at the end of the run.
        space: Where candidates come from, with the choices of the evaluator.
        evaluator: What judges them.
        strategy: What chooses them; bound here.
        config: Budgets and the rest.
        forms: JSON forms that are sent to workers in place of the objects; see `pack_work`.
        debug: Whether to print the traceback of each failing trial.
    """

    store: Store
    space: Space
    evaluator: Evaluator
    strategy: Strategy
    config: RetiariiExeConfig
    forms: dict[str, Any] = field(default_factory=dict)
    debug: bool = False
    _search: Search | None = None
    _is_stopping: bool = False

    def request_stop(self) -> None:
        """End the run soon; may be called from any thread, and before it has begun."""
        self._is_stopping = True
        if self._search is not None:
            self._search.request_stop()

    def run(self) -> None:
        """Search until there is a reason to end, and say which it was.

        Raises:
            EvaluationError: No trial has completed; holds the first traceback.
            ExperimentError: Workers cannot be started.
            StoreError: An experiment whose results are to be reused is not there.
            KeyboardInterrupt: The run was interrupted by Ctrl-C.
            SystemExit: The run was ended by SIGTERM; the code is 143.
        """
        models = self.space.model if isinstance(self.space, JointSpace) else self.space
        work = TrialWork(self.config.engine_name, models, self.evaluator)
        if self.config.log_level is not None:
            logging.getLogger("graphnas").setLevel(self.config.log_level.upper())
        self.strategy.bind(self.space.domains, self.config.seed)
        begun.append(self.store.directory)
        started = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                earlier = [stack.enter_context(contextlib.closing(reader)) for reader in self._earlier()]
                signals = stack.enter_context(Signals())
                executor = stack.enter_context(open_executor(self.config, work, self.forms))
                console = stack.enter_context(self._console())
                search = Search(self.store, self.space, self.strategy, executor, self.config, console, signals, earlier)
                self._search = search
                if self._is_stopping:
                    search.request_stop()
                ending = search.run()
            self._say_end(ending, time.monotonic() - started)
        finally:
            self._search = None
            self.store.close()
        if ending.failure is not None:
            raise ending.failure
        if ending.reason is Reason.INTERRUPTED:
            if ending.signal == signal.SIGTERM:
                raise SystemExit(128 + signal.SIGTERM)
            raise KeyboardInterrupt

    def _earlier(self) -> list[Reader]:
        """Return the stores of the experiments whose results the strategy wants to reuse."""
        home = self.config.experiment_working_directory
        return [Reader.read(find_experiment(name, home)) for name in self.strategy.reuse]

    def _top(self, count: int) -> list[Trial]:
        return Results(self.store).top(count)

    def _console(self) -> RunConsole:
        top = self._top(1)
        best = (top[0].metric, top[0].number) if top and top[0].metric is not None else None
        done = sum(count for status, count in self.store.counts().items() if TrialStatus(status).is_final)
        maximize = self.strategy.optimize_mode == "maximize"
        debug = self.debug or self.config.debug
        return RunConsole(self.config.max_trial_number, done, best, maximize=maximize, debug=debug)

    def _say_end(self, ending: Ending, seconds: float) -> None:
        counts = self.store.counts()
        top = self._top(KEPT_SOURCES) if counts.get(TrialStatus.COMPLETED) else []
        kept = keep_sources(self.store, self.space, top)
        stored = self.store.describe()
        name = f" ({self.config.experiment_name})" if self.config.experiment_name else ""
        ended = f"Experiment {stored.id}{name} ended after {seconds:.1f} s: {ending.reason.value}."
        lines = [f"{ended} Trials: {counted(counts)}. Results are in {self.store.directory}"]
        folder = self.store.directory
        if ending.reason is Reason.TRIAL_BUDGET:
            how = describing.how_to_resume(stored, folder, "max_trial_number", 2 * sum(counts.values()))
            lines.append(f"Continue with a larger budget: {how}")
        elif ending.reason is Reason.TIME_BUDGET:
            budget = f"{2 * round(self.config.max_experiment_s or 1)}s"
            how = describing.how_to_resume(stored, folder, "max_experiment_duration", budget)
            lines.append(f"Continue with a larger budget: {how}")
        elif ending.reason in (Reason.SPACE_EXHAUSTED, Reason.STRATEGY_DONE):
            form = "code" if kept else "dict"
            address = describing.address_of(stored, folder)
            lines.append(
                f"Next: experiment.export_top_models(formatter={form!r}), or in a shell: "
                f"graphnas export {shlex.quote(address)} --format {form}"
            )
        else:
            lines.append(f"Resume: {describing.how_to_resume(stored, folder)}")
        print_summary(lines, top)


def open_executor(config: RetiariiExeConfig, work: TrialWork, forms: dict[str, Any]) -> Executor:
    """Return the executor that a configuration asks for, open.

    Raises:
        ConfigError: This machine has not what it takes: Ray, or enough GPUs.
        ExperimentError: Workers cannot be started, or what they need cannot be sent to them.
    """
    executor = make_executor(config)
    try:
        if executor.runs_here:
            executor.open(work)
        else:  # other machines have no script to load anew; what it defines travels
            executor.open(pack_work(work, **({} if executor.is_remote else forms)))
    except BaseException:
        executor.close()
        raise
    return executor


def keep_sources(store: Store, space: Space, trials: list[Trial]) -> bool:
    """Write the source of trials' models to the trials' folders, where none is; return whether the first has one.

    So the best candidates can be exported without running any code of the experiment. A model that cannot be traced, or
    takes long, goes without.
    """
    deadline = time.monotonic() + _SOURCES_S
    first_is_kept = False
    for rank, trial in enumerate(trials):
        path = store.directory / TRIALS_NAME / str(trial.number) / SOURCE_NAME
        if not path.exists() and time.monotonic() < deadline:
            try:
                model = space.freeze(trial.decisions)
                from graphnas import codegen  # libcst, which takes a while, and only a model that was traced needs

                path.parent.mkdir(parents=True, exist_ok=True)
                codegen.save(model, path)
            except Exception as error:  # foreign code is traced; whatever it raises, the run has ended well
                logger.info("trial %d: its source was not kept: %s: %s", trial.number, type(error).__name__, error)
                break
        first_is_kept = first_is_kept or (rank == 0 and path.exists())
    return first_is_kept
