"""The configuration of a run, and where experiments are kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from graphnas.errors import ConfigError
from graphnas.experiment.config.checks import (
    Check,
    duration,
    flag,
    folder,
    one_of,
    optional,
    parse_duration,
    text,
    whole,
    wrong,
)
from graphnas.experiment.config.engine import BaseEngineConfig, EngineConfig, check_engine
from graphnas.experiment.config.fields import Field, Fields, Foreign
from graphnas.experiment.config.service import TrainingServiceConfig, check_service, service_of
from graphnas.experiment.config.yaml_file import in_own_spelling, read_mapping, write_mapping

HOME_VARIABLE = "GRAPHNAS_HOME"
"""Environment variable that names the folder of all experiments."""

_FOREIGN = {
    "trial_code_directory": Foreign(
        "the code of a trial is the evaluator and the model; nothing is copied to a folder"
    ),
    "search_space": Foreign("the space comes from the choices in the base model and its mutators"),
    "search_space_file": Foreign("the space comes from the choices in the base model and its mutators", (None,)),
    "trial_command": Foreign(
        "trials run inside the workers of the experiment; give a function to FunctionalEvaluator instead"
    ),
    "experiment_type": Foreign("every experiment here is one of architecture search", ("nas", None)),
    "use_annotation": Foreign("annotations in comments are not read; use graphnas.ValueChoice", (False, None)),
    "nni_manager_ip": Foreign("there is no manager that workers would have to reach", (None,)),
    "tuner": Foreign("a strategy chooses the candidates; give one to RetiariiExperiment(strategy=...)", (None,)),
    "advisor": Foreign("a strategy chooses the candidates; give one to RetiariiExperiment(strategy=...)", (None,)),
    "assessor": Foreign("a strategy ends hopeless trials early, as MedianStop or ASHA does", (None,)),
    "tuner_gpu_indices": Foreign("strategies compute on the CPU", (None,)),
    "shared_storage": Foreign("results reach the experiment's folder without one", (None,)),
}


def _log_level(field: str, value: object) -> str:
    level = one_of("trace", "debug", "info", "warning", "error", "fatal")(field, value)
    return "debug" if level == "trace" else level


def _checkpoints(field: str, value: object) -> str:
    if value in ("all", "last"):
        return str(value)
    count = value.removeprefix("best:") if isinstance(value, str) and value.startswith("best:") else ""
    if not (count.isascii() and count.isdigit() and int(count) >= 1):
        raise wrong(field, "'all', 'last', or 'best:K' with a whole number K of at least 1", value)
    return f"best:{int(count)}"


_COUNT: Check = whole(1)
_FIELDS = {
    "training_service": Field(check_service),
    "execution_engine": Field(check_engine, "py"),
    "experiment_name": Field(optional(text)),
    "trial_concurrency": Field(_COUNT, 1),
    "trial_gpu_number": Field(optional(whole(0))),
    "max_trial_number": Field(optional(_COUNT)),
    "max_experiment_duration": Field(optional(duration)),
    "max_trial_duration": Field(optional(duration)),
    "max_trial_silence": Field(optional(duration)),
    "max_retries_lost": Field(whole(0), 3),
    "keep_checkpoints": Field(_checkpoints, "all"),
    "durable": Field(flag, False),
    "experiment_working_directory": Field(optional(folder)),
    "experiment_directory": Field(optional(folder)),
    "executor": Field(one_of("process", "inprocess"), "process"),
    "seed": Field(whole(None), 0),
    "debug": Field(flag, False),
    "log_level": Field(optional(_log_level)),
}


class RetiariiExeConfig(Fields):
    """How an experiment is run.

    Fields may be given to the constructor or set afterwards; each is checked at once.

    >>> config = RetiariiExeConfig("local", trial_concurrency=2)
    >>> config.training_service.max_trial_number_per_gpu = 2
    >>> config.max_trial_numbr = 20
    Traceback (most recent call last):
    ...
    graphnas.errors.ConfigError: max_trial_numbr: there is no such field; did you mean 'max_trial_number'?

    Attributes:
        training_service_platform: `'local'`, or None for the same, or `'ray'`. Setting another one starts
            `training_service` over.
        training_service: Where trials run: a `LocalConfig`, a `RayConfig`, or a mapping of its fields with `platform`.
        execution_engine: `'py'` re-instantiates the class in the worker; `'graph'` (also `'base'`) edits the graph and
            sends generated source. An `EngineConfig`, such as `BaseEngineConfig(dummy_input=[1, 3, 32, 32])`, names an
            engine with its settings.
        experiment_name: Free text, shown in summaries.
        trial_concurrency: Number of trials that run at the same time.
        trial_gpu_number: Number of GPUs that each trial gets; None leaves it to the trial.
        max_trial_number: Number of trials, whatever their outcome, after which the run ends; None for no limit.
        max_experiment_duration: Time after which the run ends, in seconds or as `'10m'`, `'1h'`; summed over resumes.
        max_trial_duration: Time after which one trial is ended as TIMEOUT.
        max_trial_silence: Time without a report or any output after which one trial is ended as TIMEOUT.
        max_retries_lost: So many times a trial runs again that was lost with its worker's machine.
        keep_checkpoints: Of which trials checkpoints are kept: `'all'`, the `'last'`, or the best K as `'best:K'`.
        durable: Whether results also survive a loss of power, not only of the process; slower.
        experiment_working_directory: Folder in which the experiment's own folder is made, named by its id. Without it:
            `$GRAPHNAS_HOME`, else `~/graphnas-experiments`.
        experiment_directory: The experiment's own folder itself; overrides `experiment_working_directory`.
        executor: On the platform `'local'`: `'process'` runs trials in worker processes; `'inprocess'` runs them one by
            one in this process.
        seed: Seed from which the strategy's and every trial's seed derive.
        debug: Print the traceback of each failing trial when it fails.
        log_level: Level of the `graphnas` logger: `'debug'` (also `'trace'`), `'info'`, `'warning'`, `'error'` or
            `'fatal'`.

    Raises:
        ConfigError: A field is unknown (the message names the nearest), refused, or of a wrong type or value.
    """

    fields = _FIELDS
    foreign = _FOREIGN

    training_service: TrainingServiceConfig
    execution_engine: str | EngineConfig
    experiment_name: str | None
    trial_concurrency: int
    trial_gpu_number: int | None
    max_trial_number: int | None
    max_experiment_duration: float | str | None
    max_trial_duration: float | str | None
    max_trial_silence: float | str | None
    max_retries_lost: int
    keep_checkpoints: str
    durable: bool
    experiment_working_directory: str | None
    experiment_directory: str | None
    executor: str
    seed: int
    debug: bool
    log_level: str | None

    def __init__(
        self,
        training_service_platform: str | None = None,
        execution_engine: str | EngineConfig = "py",
        **given: Any,
    ) -> None:
        service = {"training_service": service_of("training_service_platform", training_service_platform)}
        super().__init__(**service, execution_engine=execution_engine)
        for name, value in given.items():
            setattr(self, name, value)
        if training_service_platform not in (None, self.training_service.platform):
            raise ConfigError(
                f"training_service.platform: is {self.training_service.platform!r}, but training_service_platform is "
                f"{training_service_platform!r}; give one of them",
                field="training_service.platform",
            )

    @property
    def training_service_platform(self) -> str:
        """Name of the platform on which trials run."""
        return self.training_service.platform

    @training_service_platform.setter
    def training_service_platform(self, platform: str | None) -> None:
        service = service_of("training_service_platform", platform)
        if service.platform != self.training_service.platform:
            self.training_service = service

    @property
    def engine_name(self) -> str:
        """Name of the execution engine."""
        engine = self.execution_engine
        return engine.name if isinstance(engine, EngineConfig) else engine

    @property
    def input_shapes(self) -> list[list[int]] | None:
        """Shapes of the model's inputs, where the engine's settings name them."""
        shapes = getattr(self.execution_engine, "dummy_input", None)
        return [shapes] if shapes and isinstance(shapes[0], int) else shapes

    def known_paths(self) -> Iterable[str]:
        settings = BaseEngineConfig().known_paths()
        return [*super().known_paths(), "training_service_platform", *self.training_service.known_paths(), *settings]

    @classmethod
    def usual(cls) -> dict[str, Any]:
        return {**super().usual(), "training_service": service_of("training_service", None)}

    def validate(self) -> None:
        """Check what no field can check alone.

        Raises:
            ConfigError: Fields contradict each other.
        """
        if self.executor != "inprocess":
            return
        if self.training_service_platform != "local":
            raise ConfigError(
                f"executor: 'inprocess' runs trials in this process, not on {self.training_service_platform!r}; leave "
                "one of them out",
                field="executor",
            )
        if self.trial_concurrency != 1:
            raise ConfigError(
                "trial_concurrency: the executor 'inprocess' runs one trial at a time, got "
                f"{self.trial_concurrency}; set trial_concurrency=1 or executor='process'",
                field="trial_concurrency",
            )

    @property
    def max_experiment_s(self) -> float | None:
        """The time budget in seconds."""
        return self._seconds("max_experiment_duration")

    @property
    def max_trial_s(self) -> float | None:
        """The time limit of one trial in seconds."""
        return self._seconds("max_trial_duration")

    @property
    def max_silence_s(self) -> float | None:
        """The time in seconds that a trial may run without a report."""
        return self._seconds("max_trial_silence")

    def _seconds(self, name: str) -> float | None:
        value = getattr(self, name)
        return None if value is None else parse_duration(name, value)

    def folder(self, experiment_id: str) -> Path:
        """Return the absolute path of the folder of the experiment `experiment_id`."""
        if self.experiment_directory is not None:
            return Path(self.experiment_directory).expanduser().absolute()
        home = self.experiment_working_directory
        return (experiments_home() if home is None else Path(home).expanduser().absolute()) / experiment_id

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], base: Path) -> Self:
        """Return the configuration of a mapping that a person has written.

        Args:
            data: Fields by name, spelt as here or as the predecessor did (`trialConcurrency`).
            base: Folder from which relative paths start.

        Raises:
            ConfigError: A field is unknown or its value is wrong.
        """
        given = in_own_spelling(data, [*cls.fields, *cls.foreign, "training_service_platform"])
        service = given.get("training_service")
        if isinstance(service, Mapping):
            plain = in_own_spelling(service, ["platform"])
            named = service_of("training_service.platform", plain.get("platform"))
            given["training_service"] = in_own_spelling(plain, ["platform", *named.fields, *named.foreign])
        for name in ("experiment_working_directory", "experiment_directory"):
            if isinstance(given.get(name), str):
                given[name] = str(base / Path(given[name]).expanduser())
        return cls(**given)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the configuration of a YAML file.

        Names may be spelt as here or as the predecessor did (`trialConcurrency`); relative paths start at the folder of
        the file.

        Raises:
            ConfigError: The file cannot be read, is no YAML, or a field is unknown or wrong; names the file.
        """
        file = Path(path).expanduser().absolute()
        data = read_mapping(file)
        try:
            return cls.from_mapping(data, file.parent)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}", field=error.field) from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write every field as a YAML file, which `load` reads.

        Raises:
            ConfigError: The file cannot be written.
        """
        write_mapping(Path(path).expanduser(), self.to_json())


def experiments_home() -> Path:
    """Return the folder in which experiments are kept: `$GRAPHNAS_HOME`, else `~/graphnas-experiments`."""
    return Path(os.environ.get(HOME_VARIABLE) or "~/graphnas-experiments").expanduser().absolute()
