"""Execution engines: how decisions become a module in a worker, and what a worker is given to do so.

An engine prepares a candidate in the parent, where a refusal costs no worker, and builds it in the worker.
"""

from __future__ import annotations

import abc
import importlib.util
import json
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from graphnas.errors import DecisionError, ExperimentError
from graphnas.experiment.config import load_engine
from graphnas.experiment.evaluators import Evaluator, evaluator_from_json
from graphnas.experiment.evaluators.base import EVALUATOR_MARK
from graphnas.experiment.executors.base import Task
from graphnas.experiment.trial import SOURCE_NAME, derive_seed
from graphnas.mutators.domain import MUTATOR_MARK, Decisions, Domain

_MODULE_NAME = "graphnas_trial_model"


@runtime_checkable
class Space(Protocol):
    """What an experiment needs of a model space; `graphnas.mutators.ModelSpace` has it."""

    @property
    def domains(self) -> Mapping[str, Domain]:
        """Label to domain, in order; a `DecisionSpace` where there are conditions or constraints."""

    def validate(self, decisions: Mapping[str, Any]) -> Decisions:
        """Return the decisions in the order and spelling of the space, or raise a `DecisionError`."""

    def freeze(self, decisions: Mapping[str, Any]) -> Any:
        """Return the `ir.Model` of the decisions."""

    def instantiate(self, decisions: Mapping[str, Any]) -> Any:
        """Return a freshly built module of the decisions."""

    def to_json(self) -> dict[str, Any] | None:
        """Return the form from which the space can be built again, or None where there is none."""


@dataclass(frozen=True)
class Candidate:
    """Decisions that an engine has accepted.

    Attributes:
        decisions: In the order and spelling of the space.
        recipe: What the worker builds from, as JSON.
        fingerprint: Fingerprint of the model, where the engine knows it.
    """

    decisions: Decisions
    recipe: dict[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None


class Engine(abc.ABC):
    """Base of every execution engine; registered by `graphnas.experiment.config.register_engine`."""

    workers_need_space: ClassVar[bool] = True
    """Whether `build` uses the space, so that it must reach the workers."""

    @staticmethod
    @abc.abstractmethod
    def prepare(space: Space, decisions: Mapping[str, Any], directory: Path) -> Candidate:
        """Check decisions in the parent, and write what the worker needs to the trial's folder.

        Args:
            space: Where the decisions come from.
            decisions: What the strategy asked for.
            directory: The trial's folder; made by who writes to it.

        Raises:
            DecisionError: The decisions do not fit the space.
            MutationError: A mutator refused.
            VerificationError: The graph that they lead to is not valid.
        """

    @staticmethod
    @abc.abstractmethod
    def build(space: Space | None, task: Task) -> Any:
        """Return a freshly built module in the worker. Raises what `prepare` does."""


def accepted(space: Space, decisions: Mapping[str, Any]) -> Decisions:
    """Return what a strategy asked for in the spelling of the space.

    Choices of mutators that come up only under some decisions are in no domain that a strategy sees. Those are drawn,
    in the same way for the same decisions, by a space that can.

    Raises:
        DecisionError: The decisions do not fit.
        MutationError: A mutator refused.
    """
    try:
        return space.validate(decisions)
    except DecisionError as error:
        is_seen = error.label in space.domains or not error.label.startswith(MUTATOR_MARK)
        complete: Callable[[Mapping[str, Any], int], Decisions] | None = getattr(space, "complete", None)
        if is_seen or complete is None:
            raise
    return complete(decisions, derive_seed(0, "complete", json.dumps(decisions, sort_keys=True)))


class PyEngine(Engine):
    """Re-instantiates the class under the decisions, in the worker."""

    @staticmethod
    def prepare(space: Space, decisions: Mapping[str, Any], directory: Path) -> Candidate:
        return Candidate(accepted(space, decisions))

    @staticmethod
    def build(space: Space | None, task: Task) -> Any:
        if space is None:
            raise ExperimentError("the engine 'py' builds from the model space, which did not reach this worker")
        return space.instantiate(task.decisions)


class GraphEngine(Engine):
    """Edits the graph in the parent and sends generated source, which is kept as `model.py` of the trial."""

    workers_need_space: ClassVar[bool] = False

    @staticmethod
    def prepare(space: Space, decisions: Mapping[str, Any], directory: Path) -> Candidate:
        from graphnas import codegen  # libcst, which only this engine needs

        candidate = accepted(space, decisions)
        model = space.freeze(candidate)
        directory.mkdir(parents=True, exist_ok=True)
        codegen.save(model, directory / SOURCE_NAME)
        return Candidate(candidate, {"class": model.name}, model.fingerprint)

    @staticmethod
    def build(space: Space | None, task: Task) -> Any:
        path = task.directory / SOURCE_NAME
        spec = importlib.util.spec_from_file_location(_MODULE_NAME, path)
        if spec is None or spec.loader is None:
            raise ExperimentError(f"{path}: the generated source of the trial cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        sys.modules[_MODULE_NAME] = module  # so that inspect finds the source of its classes
        spec.loader.exec_module(module)
        return getattr(module, task.recipe["class"])()


def of_model(decisions: Mapping[str, Any]) -> Decisions:
    """Return the decisions without those on arguments of an evaluator."""
    return {label: value for label, value in decisions.items() if not label.startswith(EVALUATOR_MARK)}


@dataclass(frozen=True)
class TrialWork:
    """What every trial does: build by an engine, judge by an evaluator. A `Workload` of the executors."""

    engine: str
    space: Space | None
    evaluator: Evaluator

    def build(self, task: Task) -> Any:
        return load_engine(self.engine).build(self.space, replace(task, decisions=of_model(task.decisions)))

    def evaluate(self, build_model: Callable[[], Any]) -> Any:
        return self.evaluator.evaluate(build_model)


def pack_work(
    work: TrialWork,
    *,
    space_form: dict[str, Any] | None = None,
    evaluator_form: dict[str, Any] | None = None,
) -> bytes:
    """Return what unpickles to `work` in a worker.

    Args:
        work: What trials do.
        space_form: JSON form of the space, sent in its place. An experiment that was resumed from its store needs that:
            code that came from a script file can be loaded anew in a worker, but not be pickled by name.
        evaluator_form: The same for the evaluator.

    Raises:
        ExperimentError: The space or the evaluator cannot be pickled.
    """
    import cloudpickle

    space = work.space if load_engine(work.engine).workers_need_space else None
    parts = (work.engine, space if space is None else space_form or space, evaluator_form or work.evaluator)
    pickles: dict[str, bytes | None] = {}
    reason: Exception | None = None
    # By name is better, since classes stay what they are; by value does for lambdas, closures and notebooks.
    for name, dumps in (("by_name", pickle.dumps), ("by_value", cloudpickle.dumps)):
        try:
            pickles[name] = dumps(parts)
        except Exception as error:  # pickling runs foreign code, which raises whatever it likes
            pickles[name], reason = None, error
    if pickles["by_name"] is None and pickles["by_value"] is None:
        raise ExperimentError(
            f"the model space or the evaluator cannot be sent to worker processes: {type(reason).__name__}: {reason}; "
            "create what cannot be pickled inside the evaluator's function, or set executor='inprocess'"
        )
    return pickle.dumps(_Packed(**pickles, reason="" if reason is None else f"{type(reason).__name__}: {reason}"))


class _Packed:
    """Both pickles of a work; unpickles to the work itself."""

    def __init__(self, by_name: bytes | None, by_value: bytes | None, reason: str) -> None:
        self.by_name = by_name
        self.by_value = by_value
        self.reason = reason

    def __reduce__(self) -> tuple[Callable[..., TrialWork], tuple[bytes | None, bytes | None, str]]:
        return _unpack, (self.by_name, self.by_value, self.reason)


def _unpack(by_name: bytes | None, by_value: bytes | None, reason: str) -> TrialWork:
    try:
        parts = pickle.loads(by_name if by_name is not None else by_value or b"")
    except (AttributeError, ImportError) as error:  # a name that only the parent has
        if by_name is None or by_value is None:
            error.add_note(f"It cannot be sent without that name either: {reason}" if reason else "")
            raise
        parts = pickle.loads(by_value)
    engine, space, evaluator = parts
    if isinstance(space, dict):
        space = space_from_json(space)
    if isinstance(evaluator, dict):
        evaluator = evaluator_from_json(evaluator)
    return TrialWork(engine, space, evaluator)


def space_from_json(data: dict[str, Any]) -> Space:
    """Return the model space that `Space.to_json` described. This imports its code."""
    from graphnas.mutators import ModelSpace  # torch, which a reader of the store does not need

    space: Space = ModelSpace.from_json(data)
    return space
