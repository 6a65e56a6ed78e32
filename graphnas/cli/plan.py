"""A run described in YAML: what is searched, by what, and the configuration.

Code is named, never written, in the file:

    base_model: net.py:Net                     # or {name: net.py:Net, arguments: {depth: 3}}
    example_inputs: [1, 3, 32, 32]             # or a list of shapes
    applied_mutators: [mutators.py:SwapActivation]
    evaluator: {name: train.py:train, arguments: {epochs: 3}}
    strategy: {name: Random, arguments: {seed: 0}}     # or a list: a strategy and what is chained to it
    max_trial_number: 20                       # and every other field of RetiariiExeConfig
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphnas.cli import named
from graphnas.errors import ConfigError
from graphnas.experiment.config import EngineConfig, RetiariiExeConfig
from graphnas.experiment.config.checks import check_arguments, unknown, wrong
from graphnas.experiment.config.yaml_file import in_own_spelling, read_mapping

_PARTS = ("base_model", "example_inputs", "applied_mutators", "evaluator", "strategy")


def read_plan(path: Path, settings: Mapping[str, Any]) -> tuple[Any, RetiariiExeConfig]:
    """Return the experiment and the configuration of a YAML file. This runs the code that the file names.

    Args:
        path: The file; paths and modules in it are looked for in its folder.
        settings: Fields of the configuration that count instead of those of the file.

    Raises:
        ConfigError: The file, or what it names, is wrong; begins with the file and the path of the field.
    """
    data = in_own_spelling(read_mapping(path), _PARTS)
    try:
        fields = {name: value for name, value in data.items() if name not in _PARTS}
        _check_names(fields)
        config = RetiariiExeConfig.from_mapping({**fields, **settings}, path.absolute().parent)
        config.validate()
        parts = {name: data[name] for name in _PARTS if name in data}
        brings_evaluator = isinstance(config.execution_engine, EngineConfig)  # as that of a benchmark does
        for name in ("base_model", "strategy", *(() if brings_evaluator else ("evaluator",))):
            if name not in parts:
                raise ConfigError(f"{name}: is missing", field=name)
        return _experiment(parts, path.absolute().parent), config
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}", field=error.field) from error


def parse_settings(given: list[str] | None) -> dict[str, Any]:
    """Return fields of a configuration from texts such as `max_trial_number=50`; values are read as YAML.

    Raises:
        ConfigError: A text has no `=`, or its value is no YAML.
    """
    import yaml

    found: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set: expected FIELD=VALUE, as max_trial_number=50, got {text!r}")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {name}: the value is no YAML: {error}", field=name) from error
    return found


def _check_names(fields: Mapping[str, Any]) -> None:
    """Refuse a field that is neither part of an experiment nor of its configuration, naming the nearest of both."""
    ours = [*_PARTS, *RetiariiExeConfig().known_paths()]
    known = [*ours, *RetiariiExeConfig.foreign]
    for name in in_own_spelling(fields, known):
        if name not in known:
            raise unknown(name, ours)


def _experiment(parts: Mapping[str, Any], base: Path) -> Any:
    import graphnas
    from graphnas import mutator
    from graphnas.mutators import ModelSpace

    target, arguments = _call_of("base_model", parts["base_model"], base, {})
    model = named.build_model("base_model", target, arguments)
    listed = parts.get("applied_mutators") or []
    mutators = [
        _made(f"applied_mutators[{index}]", item, base, mutator, graphnas.Mutator)
        for index, item in enumerate(listed if isinstance(listed, list) else [listed])
    ]
    shapes = parts.get("example_inputs")
    if shapes is not None:
        if isinstance(model, ModelSpace):
            raise ConfigError("example_inputs: base_model is a space, which has its own", field="example_inputs")
        has_several = isinstance(shapes, list) and any(isinstance(shape, list | str) for shape in shapes)
        inputs = named.example_inputs("example_inputs", shapes if has_several else [shapes])
        model, mutators = ModelSpace(model, mutators, inputs), []
    return graphnas.RetiariiExperiment(
        model,
        _evaluator(parts["evaluator"], base) if "evaluator" in parts else None,
        mutators or None,
        _strategy(parts["strategy"], base),
    )


def _strategy(item: Any, base: Path) -> Any:
    """Return a strategy; a list is a strategy with the parts that are chained to it."""
    from graphnas import strategy

    if not isinstance(item, list) or not item:
        return _made("strategy", item, base, strategy, strategy.Strategy)
    made = [_made(f"strategy[{index}]", part, base, strategy, strategy.Strategy) for index, part in enumerate(item)]
    return strategy.Chain(*made)


def _evaluator(item: Any, base: Path) -> Any:
    from graphnas import evaluator

    target, arguments = _call_of("evaluator", item, base, named.classes_of(evaluator, evaluator.Evaluator))
    if isinstance(target, evaluator.Evaluator):
        return target
    if isinstance(target, type):
        return _of_kind("evaluator", named.call("evaluator.arguments", target, arguments), evaluator.Evaluator)
    if not callable(target):
        raise wrong("evaluator", "a function, or a class of evaluators", target)
    check_arguments("evaluator.arguments", target, arguments, 1)
    return evaluator.FunctionalEvaluator(target, **arguments)


def _made(field: str, item: Any, base: Path, home: Any, kind: type) -> Any:
    target, arguments = _call_of(field, item, base, named.classes_of(home, kind))
    made = target if isinstance(target, kind) else named.call(f"{field}.arguments", target, arguments)
    return _of_kind(field, made, kind)


def _of_kind(field: str, made: Any, kind: type) -> Any:
    if not isinstance(made, kind):
        raise wrong(field, f"a {kind.__name__}, or what returns one", made)
    return made


def _call_of(field: str, item: Any, base: Path, home: Mapping[str, type]) -> tuple[Any, dict[str, Any]]:
    """Return what is to be called and its arguments, of `NAME` or `{name: NAME, arguments: {...}}`."""
    if not isinstance(item, Mapping):
        return named.find(field, item, base, home), {}
    for key in item:
        if key not in ("name", "arguments"):
            raise unknown(f"{field}.{key}", [f"{field}.name", f"{field}.arguments"])
    if "name" not in item:
        raise ConfigError(f"{field}.name: is missing", field=f"{field}.name")
    arguments = item.get("arguments") or {}
    if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
        raise wrong(f"{field}.arguments", "a mapping of arguments by name", arguments)
    return named.find(f"{field}.name", item["name"], base, home), dict(arguments)
