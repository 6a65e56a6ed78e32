"""What a run may be told: the fields of `RetiariiExeConfig`, each checked at the moment it is set.

What belongs here: fields, their checks, and the names of the execution engines. What does not: anything that acts on
them. Engines are registered by import path, so that this module needs to import none of them.
"""

from __future__ import annotations

import importlib
import math
import os
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from graphnas.errors import ConfigError

HOME_VARIABLE = "GRAPHNAS_HOME"
"""Environment variable that names the folder of all experiments."""

_ENGINES: dict[str, str] = {
    "py": "graphnas.experiment.engines:PyEngine",
    "graph": "graphnas.experiment.engines:GraphEngine",
}
_ENGINE_ALIASES = {"base": "graph"}
_PLATFORMS = ("local",)
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_REFUSED = {
    "trial_code_directory": "the code of a trial is the evaluator and the model; nothing is copied to a folder",
    "search_space": "the space comes from the choices in the base model and its mutators",
    "trial_command": "trials run inside the workers of the experiment; give a function to FunctionalEvaluator instead",
}


def register_engine(name: str, factory: str) -> None:
    """Make an execution engine available under `name`.

    Args:
        name: What `execution_engine` is set to.
        factory: Import path `package.module:attribute` of the engine's class, resolved when a run needs it.

    Raises:
        ConfigError: The name is taken by another engine, or the import path lacks its colon.
    """
    if name in _ENGINE_ALIASES or _ENGINES.get(name, factory) != factory:
        raise ConfigError(f"execution_engine: the name {name!r} is taken; register under another one")
    if ":" not in factory:
        raise ConfigError(f"execution_engine: expected 'package.module:attribute', got {factory!r}")
    _ENGINES[name] = factory


def registered_engines() -> tuple[str, ...]:
    """Return the names that `execution_engine` accepts, in the order of their registration."""
    return tuple(_ENGINES)


def load_engine(name: str) -> Any:
    """Import and return the class of the engine that is registered as `name`.

    Raises:
        ConfigError: No such engine is registered.
    """
    module, _, attribute = _ENGINES[_check_engine("execution_engine", name)].partition(":")
    return getattr(importlib.import_module(module), attribute)


def parse_duration(field: str, value: object) -> float:
    """Return seconds for `90`, `'90'`, `'45s'`, `'10m'`, `'1h'` or `'2d'`.

    Raises:
        ConfigError: The value is none of these, or not positive.
    """
    seconds = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)
        if match:
            seconds = float(match.group(1)) * _UNIT_SECONDS[match.group(2) or "s"]
    if not (math.isfinite(seconds) and seconds > 0):
        raise ConfigError(
            f"{field}: expected a positive number of seconds, or a text such as '45s', '10m', '1h'; got {value!r}",
            field=field,
        )
    return seconds


def _check_engine(field: str, value: object) -> str:
    name = _ENGINE_ALIASES.get(value, value) if isinstance(value, str) else value
    if not isinstance(name, str) or name not in _ENGINES:
        known = ", ".join(repr(engine) for engine in _ENGINES)
        raise ConfigError(
            f"{field}: no execution engine {value!r} is registered; the registered ones are {known}", field=field
        )
    return name


def _check_platform(field: str, value: object) -> str:
    platform = "local" if value is None else value
    if platform not in _PLATFORMS:
        raise ConfigError(f"{field}: expected one of {_listed(_PLATFORMS)} or None, got {value!r}", field=field)
    return str(platform)


def _optional(check: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    return lambda field, value: None if value is None else check(field, value)


def _duration(field: str, value: object) -> object:
    parse_duration(field, value)
    return value


def _count(field: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{field}: expected a whole number of at least 1, got {value!r}", field=field)
    return value


def _integer(field: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{field}: expected a whole number, got {value!r}", field=field)
    return value


def _flag(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{field}: expected True or False, got {value!r}", field=field)
    return value


def _text(field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{field}: expected a text that is not empty, got {value!r}", field=field)
    return value


def _folder(field: str, value: object) -> str:
    return _text(field, os.fspath(value) if isinstance(value, os.PathLike) else value)


def _one_of(*allowed: str) -> Callable[[str, object], str]:
    def check(field: str, value: object) -> str:
        if value not in allowed:
            raise ConfigError(f"{field}: expected one of {_listed(allowed)}, got {value!r}", field=field)
        return str(value)

    return check


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names)


_FIELDS: dict[str, tuple[Callable[[str, object], Any], Any]] = {
    "training_service_platform": (_check_platform, "local"),
    "execution_engine": (_check_engine, "py"),
    "experiment_name": (_optional(_text), None),
    "trial_concurrency": (_count, 1),
    "max_trial_number": (_optional(_count), None),
    "max_experiment_duration": (_optional(_duration), None),
    "max_trial_duration": (_optional(_duration), None),
    "experiment_working_directory": (_optional(_folder), None),
    "experiment_directory": (_optional(_folder), None),
    "executor": (_one_of("process", "inprocess"), "process"),
    "seed": (_integer, 0),
    "debug": (_flag, False),
    "log_level": (_optional(_one_of("debug", "info", "warning", "error", "fatal")), None),
}


class RetiariiExeConfig:
    """How an experiment is run.

    Fields may be given to the constructor or set afterwards; each is checked at once.

    >>> config = RetiariiExeConfig("local", trial_concurrency=2)
    >>> config.max_trial_numbr = 20
    Traceback (most recent call last):
    ...
    graphnas.errors.ConfigError: max_trial_numbr: there is no such field; did you mean 'max_trial_number'?

    Attributes:
        training_service_platform: `'local'`; None means the same.
        execution_engine: `'py'` re-instantiates the class in the worker; `'graph'` (also `'base'`) edits the graph and
            sends generated source.
        experiment_name: Free text, shown in summaries.
        trial_concurrency: Number of trials that run at the same time.
        max_trial_number: Number of trials, whatever their outcome, after which the run ends; None for no limit.
        max_experiment_duration: Time after which the run ends, in seconds or as `'10m'`, `'1h'`; summed over resumes.
        max_trial_duration: Time after which one trial is ended as TIMEOUT.
        experiment_working_directory: Folder in which the experiment's own folder is made, named by its id. Without it:
            `$GRAPHNAS_HOME`, else `~/graphnas-experiments`.
        experiment_directory: The experiment's own folder itself; overrides `experiment_working_directory`.
        executor: `'process'` runs trials in worker processes; `'inprocess'` runs them one by one in this process.
        seed: Seed from which the strategy's and every trial's seed derive.
        debug: Print the traceback of each failing trial when it fails.
        log_level: Level of the `graphnas` logger: `'debug'`, `'info'`, `'warning'`, `'error'` or `'fatal'`.

    Raises:
        ConfigError: A field is unknown (the message names the nearest), refused, or of a wrong type or value.
    """

    training_service_platform: str
    execution_engine: str
    experiment_name: str | None
    trial_concurrency: int
    max_trial_number: int | None
    max_experiment_duration: float | str | None
    max_trial_duration: float | str | None
    experiment_working_directory: str | None
    experiment_directory: str | None
    executor: str
    seed: int
    debug: bool
    log_level: str | None

    def __init__(
        self, training_service_platform: str | None = None, execution_engine: str = "py", **fields: Any
    ) -> None:
        for name, (_, default) in _FIELDS.items():
            object.__setattr__(self, name, default)
        # A dictionary rather than two assignments: the fields accept None and aliases that their types no longer show.
        given = {"training_service_platform": training_service_platform, "execution_engine": execution_engine, **fields}
        for name, value in given.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _REFUSED:
            raise ConfigError(f"{name}: must not be set: {_REFUSED[name]}", field=name)
        if name not in _FIELDS:
            near = get_close_matches(name, _FIELDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the fields are {_listed(tuple(_FIELDS))}"
            raise ConfigError(f"{name}: there is no such field; {hint}", field=name)
        check, _ = _FIELDS[name]
        object.__setattr__(self, name, check(name, value))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RetiariiExeConfig):
            return NotImplemented
        return self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # mutable, compared by value

    def __repr__(self) -> str:
        changed = (f"{k}={v!r}" for k, v in self.to_json().items() if v != _FIELDS[k][1])
        return f"RetiariiExeConfig({', '.join(changed)})"

    def validate(self) -> None:
        """Check what no field can check alone.

        Raises:
            ConfigError: Fields contradict each other.
        """
        if self.executor == "inprocess" and self.trial_concurrency != 1:
            raise ConfigError(
                "trial_concurrency: the executor 'inprocess' runs one trial at a time, got "
                f"{self.trial_concurrency}; set trial_concurrency=1 or executor='process'",
                field="trial_concurrency",
            )

    @property
    def max_experiment_s(self) -> float | None:
        """The time budget in seconds."""
        value = self.max_experiment_duration
        return None if value is None else parse_duration("max_experiment_duration", value)

    @property
    def max_trial_s(self) -> float | None:
        """The time limit of one trial in seconds."""
        value = self.max_trial_duration
        return None if value is None else parse_duration("max_trial_duration", value)

    def folder(self, experiment_id: str) -> Path:
        """Return the absolute path of the folder of the experiment `experiment_id`."""
        if self.experiment_directory is not None:
            return Path(self.experiment_directory).expanduser().absolute()
        home = self.experiment_working_directory
        return (experiments_home() if home is None else Path(home).expanduser().absolute()) / experiment_id

    def to_json(self) -> dict[str, Any]:
        """Return every field with its value."""
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RetiariiExeConfig:
        """Return the configuration that `to_json` described.

        Raises:
            ConfigError: A field is unknown or its value is wrong.
        """
        return cls(**data)


def experiments_home() -> Path:
    """Return the folder in which experiments are kept: `$GRAPHNAS_HOME`, else `~/graphnas-experiments`."""
    return Path(os.environ.get(HOME_VARIABLE) or "~/graphnas-experiments").expanduser().absolute()
