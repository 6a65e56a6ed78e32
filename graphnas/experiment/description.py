"""What is kept of an experiment besides its trials, and how the pieces are built again from it."""

from __future__ import annotations

import json
import multiprocessing
import shlex
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment.config import EngineConfig, RetiariiExeConfig, experiments_home
from graphnas.experiment.engines import Space, of_model, space_from_json
from graphnas.experiment.evaluators import Evaluator, evaluator_from_json
from graphnas.experiment.evaluators.base import EVALUATOR_MARK
from graphnas.experiment.evaluators.reference import reference_to, resolve
from graphnas.experiment.joint import with_choices_of
from graphnas.experiment.store import Description
from graphnas.experiment.strategies import Strategy

RESUMABLE_FIELDS = (
    "experiment_name",
    "training_service",
    "training_service_platform",
    "trial_concurrency",
    "max_trial_number",
    "max_experiment_duration",
    "max_trial_duration",
    "max_trial_silence",
    "max_retries_lost",
    "trial_gpu_number",
    "keep_checkpoints",
    "durable",
    "executor",
    "debug",
    "log_level",
)
"""Fields that may change when an experiment is continued; the others would make it another experiment."""


def describe(
    experiment_id: str, config: RetiariiExeConfig, space: Space, evaluator: Evaluator, strategy: Strategy
) -> Description:
    """Return what the store keeps."""
    return Description(
        id=experiment_id,
        config=config.to_json(),
        domains={label: domain.to_json() for label, domain in space.domains.items()},
        space=space.to_json(),
        evaluator=evaluator.to_json(),
        strategy={**(strategy_to_json(strategy) or {}), "objectives": [list(one) for one in strategy.objectives]},
    )


def missing_forms(description: Description) -> tuple[str, ...]:
    """Return the arguments that `resume` must be given, since the store cannot keep them."""
    forms = {
        "base_model": description.space,
        "evaluator": description.evaluator,
        "strategy": description.strategy if "type" in (description.strategy or {}) else None,
    }
    return tuple(name for name, form in forms.items() if form is None)


def strategy_to_json(strategy: Strategy) -> dict[str, Any] | None:
    """Return the reference of the strategy's class and its arguments, or None where it has no such form.

    Arguments are JSON values, functions that can be imported, and strategies or parts of a chain that have a form.
    """
    kind = reference_to(type(strategy))
    if kind is None:
        return None
    positional, named = strategy.constructor()
    try:
        return {
            "type": kind,
            "positional": [_argument_to_json(value) for value in positional],
            "arguments": {name: _argument_to_json(value) for name, value in named.items()},
        }
    except (TypeError, ValueError):
        return None


def strategy_from_json(data: Mapping[str, Any]) -> Strategy:
    """Return the strategy that `strategy_to_json` described.

    Raises:
        ExperimentError: Its code is no longer where it was, or is no strategy.
    """
    kind = resolve(data["type"])
    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise ExperimentError(f"{data['type']}: expected a class of strategies, found {kind!r}")
    positional = [_argument_from_json(value) for value in data.get("positional", ())]
    return kind(*positional, **{name: _argument_from_json(value) for name, value in data["arguments"].items()})


def _argument_to_json(value: Any) -> Any:
    if isinstance(value, Strategy):
        form: Any = strategy_to_json(value)
        key = "$strategy"
    elif callable(value):
        form, key = reference_to(value), "$function"
    else:
        plain = list(value) if isinstance(value, tuple) else value
        if json.loads(json.dumps(plain, allow_nan=False)) != plain:
            raise ValueError(f"{value!r} changes on its way through JSON")
        return plain
    if form is None:
        raise ValueError(f"{value!r} cannot be imported")
    return {key: form}


def _argument_from_json(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"$strategy"}:
        return strategy_from_json(value["$strategy"])
    if isinstance(value, dict) and set(value) == {"$function"}:
        return resolve(value["$function"])
    return value


def rebuild(
    description: Description, space: Space | None, evaluator: Evaluator | None, strategy: Strategy | None
) -> tuple[Space, Evaluator, Strategy]:
    """Return the pieces of a stored experiment: those that are given, and the others from their JSON forms.

    Raises:
        ExperimentError: A piece is neither given nor kept, its code is gone, or the space is not the one of the store.
    """
    given = {"base_model": space, "evaluator": evaluator, "strategy": strategy}
    missing = [name for name in missing_forms(description) if given[name] is None]
    if missing:
        arguments = ", ".join(f"{name}=..." for name in missing)
        raise ExperimentError(
            f"experiment {description.id}: the store could not keep {' and '.join(missing)}, as there was no name by "
            f"which to import it; call RetiariiExperiment.resume({description.id!r}, {arguments})"
        )
    if space is None:
        space = space_from_json(description.space or {})
    if evaluator is None:
        evaluator = evaluator_from_json(description.evaluator or {})
    if strategy is None:
        strategy = strategy_from_json(description.strategy or {})
    space = with_choices_of(space, evaluator.choices())
    check_is_searched(description, space)
    return space, evaluator, strategy


def change_config(description: Description, fields: Mapping[str, Any]) -> RetiariiExeConfig:
    """Return the stored configuration with `fields` changed.

    Raises:
        ConfigError: A field is unknown, its value wrong, or it belongs to what the experiment is.
    """
    config = RetiariiExeConfig.from_json(description.config)
    for name, value in fields.items():
        setattr(config, name, value)
        if name not in RESUMABLE_FIELDS:
            raise ConfigError(
                f"{name}: cannot change when an experiment is resumed; what can is {', '.join(RESUMABLE_FIELDS)}",
                field=name,
            )
    return config


def address_of(description: Description, folder: Path) -> str:
    """Return by what an experiment is found: its id, or the path of its folder where that is not the usual one."""
    return description.id if folder == experiments_home() / description.id else str(folder)


def how_to_resume(description: Description, folder: Path, field: str = "", value: int | str = "") -> str:
    """Return the Python expression that continues an experiment and, where the shell can too, the command.

    Args:
        description: What the store holds.
        folder: Its folder.
        field: A field of the configuration that is to change, if any.
        value: Its new value.
    """
    name, missing = address_of(description, folder), missing_forms(description)
    arguments = [repr(name), *(f"{part}=..." for part in missing), *([f"{field}={value!r}"] if field else [])]
    call = f"graphnas.RetiariiExperiment.resume({', '.join(arguments)})"
    command = f"graphnas resume {shlex.quote(name)}{f' --set {field}={value}' if field else ''}"
    return call if missing else f"{call}, or in a shell: {command}"


def check_not_importing() -> None:
    """Refuse to run while a worker imports the script that started it.

    Raises:
        ExperimentError: It does: the script starts the experiment at its top level.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ExperimentError(
            "this script starts an experiment while a worker process imports it; put the call of run() or resume() "
            "under `if __name__ == '__main__':`, or set executor='inprocess'"
        )


def pick_evaluator(evaluator: Evaluator | None, config: RetiariiExeConfig) -> Evaluator:
    """Return the evaluator of an experiment, or the one that its engine brings.

    Raises:
        ConfigError: There is none.
    """
    engine = config.execution_engine
    brought: Evaluator | None = engine.evaluator() if isinstance(engine, EngineConfig) else None
    found = evaluator if brought is None else brought
    if found is None:
        raise ConfigError("evaluator: is missing; give one to RetiariiExperiment(...)", field="evaluator")
    if brought is not None and evaluator is not None:
        warnings.warn(
            f"evaluator: {evaluator!r} is not asked, since the engine {config.engine_name!r} answers by itself",
            UserWarning,
            stacklevel=5,
        )
    return found


def pick_model_space(base_model: Any, mutators: Any, input_shapes: Sequence[Sequence[int]] | None = None) -> Space:
    """Return the space of a base model and mutators; a space passes through.

    Args:
        base_model: What was given to the experiment.
        mutators: None, one, or several.
        input_shapes: Shapes of the inputs with which the model is traced, where it comes without.

    Raises:
        ConfigError: There is no base model, or mutators come with a space that has its own.
    """
    if base_model is None:
        raise ConfigError("base_model: is missing; give a model to RetiariiExperiment(...)", field="base_model")
    applied = () if mutators is None else tuple(mutators) if isinstance(mutators, list | tuple) else (mutators,)
    if isinstance(base_model, Space):
        if applied:
            raise ConfigError(
                "applied_mutators: a model space holds its mutators already; give them to the space",
                field="applied_mutators",
            )
        return base_model
    import torch

    from graphnas.mutators import ModelSpace

    inputs = None if input_shapes is None else tuple(torch.zeros(*shape) for shape in input_shapes)
    space: Space = ModelSpace(base_model, applied, inputs)
    return space


def check_is_searched(description: Description, space: Space) -> None:
    """Refuse a space that is not the one of a stored experiment, or the model's part of it.

    Raises:
        ExperimentError: The labels, their order or their domains differ.
    """
    found = json.loads(json.dumps({label: domain.to_json() for label, domain in space.domains.items()}))
    kept = description.domains
    if not any(label.startswith(EVALUATOR_MARK) for label in found):
        kept = of_model(kept)
    if found == kept and list(found) == list(kept):
        return
    labels = [label for label in dict.fromkeys((*kept, *found)) if found.get(label) != kept.get(label)]
    raise ExperimentError(
        f"experiment {description.id}: the model's choices are not those that it was started with "
        f"({'their order changed' if not labels else 'they differ in ' + ', '.join(repr(label) for label in labels)}); "
        "resume with the model as it was, or start a new experiment"
    )
