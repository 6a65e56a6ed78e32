"""Execution engines by name, and the objects that name one together with its settings.

Engines are registered by import path, so that nothing here needs to import one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.config.checks import check_arguments, listed, optional, wrong
from graphnas.experiment.config.fields import Field, Fields

_ALIASES = {"base": "graph"}


class EngineConfig(Fields):
    """An execution engine together with its settings; base of the classes for single engines.

    Attributes:
        name: Name under which the engine is registered.
    """

    name: ClassVar[str]
    path = "execution_engine."

    def evaluator(self) -> Any:
        """Return the evaluator that the engine brings in place of the experiment's; None for one that builds models."""
        return None

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, **super().to_json()}


class PyEngineConfig(EngineConfig):
    """The engine `'py'`, which constructs the class again in the worker. It has no settings."""

    name = "py"


def _shapes(field: str, value: object) -> list[Any]:
    def is_shape(item: object) -> bool:
        return isinstance(item, list | tuple) and bool(item) and all(type(size) is int and size > 0 for size in item)

    if is_shape(value):
        return list(value)  # type: ignore[call-overload,no-any-return]  # a list or a tuple, as was just asked
    if isinstance(value, list | tuple) and value and all(map(is_shape, value)):
        return [list(item) for item in value]
    raise wrong(field, "the shape of the model's input, as [1, 3, 32, 32], or a list of shapes", value)


class BaseEngineConfig(EngineConfig):
    """The engine `'graph'`, under the predecessor's name.

    Attributes:
        dummy_input: Shape of the model's input, as `[1, 3, 32, 32]`, or a list of shapes for a model with several. The
            model is traced with zeros of these shapes, where its space has no example inputs of its own.
    """

    name = "graph"
    fields = {"dummy_input": Field(optional(_shapes))}  # noqa: RUF012  # declared in the base class
    dummy_input: list[Any] | None


_ENGINES: dict[str, tuple[str, str | type[EngineConfig] | None]] = {
    "py": ("graphnas.experiment.engines:PyEngine", PyEngineConfig),
    "graph": ("graphnas.experiment.engines:GraphEngine", BaseEngineConfig),
    "benchmark": (
        "graphnas.benchmarks.search.engine:BenchmarkEngine",
        "graphnas.benchmarks.search.engine:BenchmarkEngineConfig",
    ),
}


def register_engine(name: str, factory: str, settings: str | None = None) -> None:
    """Make an execution engine available under `name`.

    Args:
        name: What `execution_engine` is set to.
        factory: Import path `package.module:attribute` of the engine's class, resolved when a run needs it.
        settings: Import path of its `EngineConfig`, if it has settings.

    Raises:
        ConfigError: The name is taken by another engine, or an import path lacks its colon.
    """
    entry = (factory, settings)
    if name in _ALIASES or _ENGINES.get(name, entry) != entry:
        raise ConfigError(f"execution_engine: the name {name!r} is taken; register under another one")
    for path in (factory, settings):
        if path is not None and ":" not in path:
            raise ConfigError(f"execution_engine: expected 'package.module:attribute', got {path!r}")
    _ENGINES[name] = entry


def registered_engines() -> tuple[str, ...]:
    """Return the names that `execution_engine` accepts, in the order of their registration."""
    return tuple(_ENGINES)


def load_engine(engine: str | EngineConfig) -> Any:
    """Import and return the class of an engine, given by its name or by its settings.

    Raises:
        ConfigError: No such engine is registered.
    """
    name = _checked_name("execution_engine", engine.name if isinstance(engine, EngineConfig) else engine)
    return _imported(_ENGINES[name][0])


def check_engine(field: str, value: object) -> str | EngineConfig:
    """Return an engine as it is kept: its name, or its settings where it was given with some."""
    if isinstance(value, EngineConfig):
        _checked_name(field, value.name)
        return value
    if not isinstance(value, Mapping):
        return _checked_name(field, value)
    rest = dict(value)
    name = _checked_name(f"{field}.name", rest.pop("name", None))
    settings = _ENGINES[name][1]
    if settings is None:
        if rest:
            raise ConfigError(f"{field}.{next(iter(rest))}: the engine {name!r} has no settings", field=field)
        return name
    kind = _imported(settings) if isinstance(settings, str) else settings
    check_arguments(field, kind, rest)
    made: EngineConfig = kind(**rest)
    return made


def _checked_name(field: str, value: object) -> str:
    name = _ALIASES.get(value, value) if isinstance(value, str) else value
    if not isinstance(name, str) or name not in _ENGINES:
        raise ConfigError(
            f"{field}: no execution engine {value!r} is registered; the registered ones are {listed(_ENGINES)}",
            field=field,
        )
    return name


def _imported(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
