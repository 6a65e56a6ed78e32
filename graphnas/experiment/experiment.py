"""The experiment: what a user starts, stops, resumes and takes results from."""

from __future__ import annotations

import datetime
import secrets
import warnings
from pathlib import Path
from typing import Any

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment import description as describing
from graphnas.experiment.background import Background
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.console import print_summary
from graphnas.experiment.engines import Space
from graphnas.experiment.evaluators import Evaluator
from graphnas.experiment.folders import find_experiment
from graphnas.experiment.joint import with_choices_of
from graphnas.experiment.oneshot_trainer import OneShotTrainer
from graphnas.experiment.predecessor import PredecessorResults
from graphnas.experiment.results import Results
from graphnas.experiment.session import Session
from graphnas.experiment.store import Description, Reader, Store
from graphnas.experiment.strategies import Strategy
from graphnas.experiment.summary import summary_lines
from graphnas.experiment.trial import Trial


class RetiariiExperiment(PredecessorResults):
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
        evaluator: Evaluator | OneShotTrainer | None = None,
        applied_mutators: Any = None,
        strategy: Strategy | None = None,
        trainer: Evaluator | OneShotTrainer | None = None,
    ) -> None:
        if trainer is not None:
            warnings.warn("trainer= is the old name of evaluator=; use that", DeprecationWarning, stacklevel=2)
            if evaluator is not None:
                raise ConfigError("trainer: is the old name of evaluator; give only evaluator", field="trainer")
            evaluator = trainer
        self._trainer: OneShotTrainer | None = None
        if isinstance(evaluator, OneShotTrainer) and not isinstance(evaluator, Evaluator):
            warnings.warn(
                f"{type(evaluator).__name__} is a one-shot trainer: run() calls its fit(), and its export() is all "
                "that comes of it; give an evaluator and a one-shot strategy instead",
                DeprecationWarning,
                stacklevel=2,
            )
            self._trainer, evaluator = evaluator, None
        _check_kind("evaluator", evaluator, Evaluator, "a function is wrapped by FunctionalEvaluator(function)")
        _check_kind("strategy", strategy, Strategy, "a class of strategies is to be called, as in Random(seed=0)")
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        self.id = f"{now}-{secrets.token_hex(2)}"
        self._base_model = base_model
        self._mutators = applied_mutators
        self._evaluator: Evaluator | None = evaluator
        self._strategy = strategy
        self._space: Space | None = None
        self._stored: Reader | None = None
        self._session: Session | None = None
        self._background: Background | None = None

    @property
    def store(self) -> Reader:
        """The store behind the results.

        Raises:
            ExperimentError: The experiment has not been run.
        """
        if self._stored is None:
            raise ExperimentError(f"experiment {self.id} has not been run; call run() or start() first")
        return self._stored

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
        if self._trainer is not None:
            self._trainer.fit()
            return
        self._create(config, debug).run()

    def start(self, config: RetiariiExeConfig | None = None, port: int = 8080, debug: bool = False) -> None:
        """Begin what `run` does in a thread of this process, and return.

        What is wrong from the outset is raised here, as by `run`. What ends the run later is raised by `wait` and
        `stop`, and `get_status` tells of it. Ctrl-C reaches the main thread only: a program that ends without `stop`
        ends the run in the same orderly way. Use worker processes: trials of `executor='inprocess'` would take over
        the output and the random generators of the program, and have no time limit.

        Args:
            config: As for `run`.
            port: As for `run`.
            debug: As for `run`.

        Raises:
            ConfigError: The configuration contradicts itself, or a part of the experiment is missing.
            StoreError: The folder holds an experiment, or cannot be written.
            ExperimentError: The experiment was run before.
        """
        if self._trainer is not None:
            raise ConfigError("evaluator: a one-shot trainer cannot run in the background; call run()")
        self._background = Background(self._create(config, debug))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until a run in the background has ended, and return whether it has.

        Args:
            timeout_s: Give up after this time; None waits as long as it takes.

        Raises:
            EvaluationError: No trial has completed; and whatever else ended the run.
        """
        return self._background is None or self._background.wait(timeout_s)

    def stop(self) -> None:
        """End the run, and return once it has ended; running trials run again when it is resumed.

        Of a run in another thread of the user's own it only asks to end. Nothing happens if nothing runs.

        Raises:
            EvaluationError: No trial had completed; and whatever else had ended a run in the background.
        """
        if self._session is not None:
            self._session.request_stop()
        if self._background is not None:
            self._background.wait(None)

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
            experiment_id: The id, the beginning of it, or the path of the experiment's folder.
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
        folder = find_experiment(experiment_id, experiment_working_directory)
        experiment = RetiariiExperiment(None, evaluator, None, strategy)
        is_kept = evaluator is None
        config = describing.change_config(_described(folder), fields)
        config.validate()
        store = Store.open(folder, writable=True, durable=config.durable)
        try:
            stored = store.describe()
            given = None
            if base_model is not None:
                given = describing.pick_model_space(base_model, applied_mutators, config.input_shapes)
            space, evaluator, strategy = describing.rebuild(stored, given, evaluator, strategy)
            current = describing.describe(stored.id, config, space, evaluator, strategy)
            store.update_description(current)
        except BaseException:
            store.close()
            raise
        experiment.id, experiment._stored = stored.id, store
        experiment._space, experiment._evaluator, experiment._strategy = space, evaluator, strategy
        forms = {
            "space_form": current.space if base_model is None else None,
            "evaluator_form": current.evaluator if is_kept else None,
        }
        experiment._session = Session(store, space, evaluator, strategy, config, forms, debug)
        experiment._session.run()
        return experiment

    @staticmethod
    def view(
        experiment_id: str,
        port: int = 8080,
        non_blocking: bool = False,
        *,
        base_model: Any = None,
        applied_mutators: Any = None,
        experiment_working_directory: str | None = None,
    ) -> RetiariiExperiment:
        """Print the summary of an experiment, and return it for reading: finished, running or of somebody else.

        No code of the experiment is run and nothing is written. So source is what was kept of the best candidates;
        with `base_model`, all of it can be made.

        Args:
            experiment_id: The id, the beginning of it, or the path of the experiment's folder.
            port: Accepted for compatibility; nothing listens.
            non_blocking: Accepted for compatibility; the call always returns at once.
            base_model: The model that the experiment searched, to make source and modules of candidates.
            applied_mutators: The mutators that belong to `base_model`.
            experiment_working_directory: Folder in which the experiment's folder is, if not the usual one.

        Raises:
            StoreError: There is no such experiment, several ids begin so, or it cannot be read.
            ExperimentError: `base_model` is not what the experiment searched.
        """
        reader = Reader.read(find_experiment(experiment_id, experiment_working_directory))
        experiment = RetiariiExperiment()
        stored = reader.describe()
        experiment.id, experiment._stored = stored.id, reader
        if base_model is not None:
            shapes = RetiariiExeConfig.from_json(stored.config).input_shapes
            experiment._space = describing.pick_model_space(base_model, applied_mutators, shapes)
            describing.check_is_searched(stored, experiment._space)
        print_summary(*summary_lines(Results(reader)))
        return experiment

    def get_status(self) -> str:
        """Return `'INITIALIZED'` before the run, then `'RUNNING'`, `'DONE'`, `'STOPPED'` or `'ERROR'`.

        DONE is a run that ended by itself, STOPPED one that was ended, ERROR one that an exception has ended.
        """
        if self._stored is None:
            return "INITIALIZED"
        if self._background is not None:
            if not self._background.has_ended:
                return "RUNNING"
            if self._background.error is not None:
                return "ERROR"
        return super().get_status()

    def export_top_models(self, top_k: int = 1, optimize_mode: str | None = None, formatter: str = "dict") -> list[Any]:
        if self._trainer is not None:
            return [self._trainer.export()]
        return super().export_top_models(top_k, optimize_mode, formatter)

    def source_of(self, trial: Trial) -> str:
        """Return the source of a trial's model: what was kept, else generated anew where the model is at hand.

        Raises:
            CodegenError: No source can be generated.
            ExperimentError: None was kept and there is no model to generate it from.
        """
        if self._space is None:
            return super().source_of(trial)
        from graphnas import codegen  # libcst, which only this needs

        return codegen.to_source(self._space.freeze(trial.decisions))

    def instance_of(self, trial: Trial) -> Any:
        return super().instance_of(trial) if self._space is None else self._space.instantiate(trial.decisions)

    def _create(self, config: RetiariiExeConfig | None, debug: bool) -> Session:
        """Check everything, make the folder, and return the run, ready to begin."""
        describing.check_not_importing()
        if self._stored is not None:
            raise ExperimentError(
                f"experiment {self.id} was run already; continue it with RetiariiExperiment.resume({self.id!r})"
            )
        _check_kind("config", config, RetiariiExeConfig, "a YAML file is read by RetiariiExeConfig.load(path)")
        config = RetiariiExeConfig() if config is None else config
        config.validate()
        evaluator = self._evaluator = describing.pick_evaluator(self._evaluator, config)
        if self._strategy is None:
            raise ConfigError("strategy: is missing; give one to RetiariiExperiment(...)", field="strategy")
        model_space = describing.pick_model_space(self._base_model, self._mutators, config.input_shapes)
        space = with_choices_of(model_space, evaluator.choices())
        stored = describing.describe(self.id, config, space, evaluator, self._strategy)
        missing = describing.missing_forms(stored)
        if missing:
            warnings.warn(
                f"{' and '.join(missing)}: cannot be stored by name, as a lambda, a closure or a notebook's class; the "
                f"experiment can be resumed only with resume(..., {', '.join(f'{name}=...' for name in missing)})",
                UserWarning,
                stacklevel=3,
            )
        store = Store.create(config.folder(self.id), stored, durable=config.durable)
        self._space, self._stored = space, store
        self._session = Session(store, space, evaluator, self._strategy, config, debug=debug)
        return self._session


def _described(folder: Path) -> Description:
    reader = Reader.read(folder)
    try:
        return reader.describe()
    finally:
        reader.close()


def _check_kind(field: str, value: object, kind: type, hint: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigError(f"{field}: expected {kind.__name__}, got {value!r}; {hint}", field=field)
