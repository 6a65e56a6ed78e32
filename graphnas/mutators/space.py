"""The space of a model: what can be decided, and the model that decisions lead to.

Inline choices come first, in the order of their construction, then the choices of the mutators in the order of their
application. A space holds a construction (class and arguments) or an `ir.Model`, never weights.

What belongs here: what one asks of a space. How allowed decisions are found is `decision_space`'s, where mutators have
a say `points`'; how inline choices become a graph is `inline`'s. What a decided model is built with lies above this
layer: `instantiate` takes a builder, and has one by name.
"""

from __future__ import annotations

import pkgutil
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from graphnas.errors import ConfigError, MutationError, VerificationError
from graphnas.ir.json_form import from_json as model_from_json
from graphnas.ir.json_form import to_json as model_to_json
from graphnas.ir.model import Model, Mutation
from graphnas.ir.record import record_of
from graphnas.mutators.chain import checked_mutators, decisions_in, is_refusal
from graphnas.mutators.constraint import Constraint
from graphnas.mutators.construct import Construction
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import MUTATOR_MARK, Decision, Decisions, Domain
from graphnas.mutators.encoding import Encoding
from graphnas.mutators.inline import INLINE, InlinePart
from graphnas.mutators.model_constraint import ModelConstraint
from graphnas.mutators.mutator import FirstCandidate, Mutator, RandomCandidate, replay
from graphnas.mutators.points import Points
from graphnas.mutators.serialize import (
    read_call,
    read_constraint,
    read_tensor,
    write_call,
    write_constraint,
    write_tensor,
)
from graphnas.mutators.table import format_table

Builder = Callable[[Model], nn.Module]

DEFAULT_BUILDER = "graphnas.codegen:to_module"
"""What builds a module of a model where no builder is given; resolved when it is first needed."""

_DRAWS = 100
"""So many draws are tried where mutators or constraints refuse some."""


class ModelSpace:
    """Everything that a model can be decided to be.

    Args:
        base: A module built under `@model_wrapper` or `recording()`, or a traced model.
        mutators: Edits on top of it, in the order of their application.
        example_inputs: Arguments of `forward`: a tensor or a tuple. Needed to trace a module: for `freeze`, and
            wherever there are mutators.
        constraints: What rules combinations out. Functions of the decisions that must be true, as in
            `lambda d: d["width"] * d["depth"] <= 64`; they see every label of `domains`, with its default where it does
            not come up. And constraints on the model, such as `CostLimit(flops=600e6)`.

    Raises:
        ConfigError: `base` was not recorded, two mutators share a label, or something else is of the wrong kind.
    """

    def __init__(
        self,
        base: nn.Module | Model,
        mutators: Sequence[Mutator] = (),
        example_inputs: Any = None,
        *,
        constraints: Sequence[Callable[[Mapping[str, Decision]], object] | ModelConstraint] = (),
    ) -> None:
        inputs = _as_tuple(example_inputs)
        if isinstance(base, Model):
            self._inline = InlinePart(None, base, inputs)
        elif isinstance(base, nn.Module):
            self._inline = InlinePart(_construction(base), None, inputs)
        else:
            raise ConfigError(
                f"base: expected a torch.nn.Module or a traced model, got {base!r:.100}; construct the model first",
                field="base",
            )
        self.mutators = checked_mutators(mutators)
        self.constraints = _checked_constraints(constraints)
        self._start()

    def _start(self) -> None:
        self._points = Points(self._inline, self.mutators, self.constraints)
        self._encoding: Encoding | None = None

    @property
    def example_inputs(self) -> tuple[Any, ...] | None:
        """Arguments of `forward`."""
        return self._inline.example_inputs

    # What can be decided.

    @property
    def inline_domains(self) -> DecisionSpace:
        """Label to domain of the inline choices, in the order of their construction, with their conditions."""
        return self._inline.space

    @property
    def domains(self) -> DecisionSpace:
        """Label to domain, in order, with conditions and constraints: all that a search strategy needs.

        Of mutators, those that come up if every choice takes its first candidate.
        """
        return self._points.domains

    def size(self) -> int | None:
        """Return the number of points; None where it is infinite or not known.

        Without mutators, points are counted as long as constraints leave that possible. With them, the choices of the
        mutators count as independent if they stay the same under every single change of the default decisions. If they
        do not, the ways to decide them are gone through, up to 256 models, and those that are refused do not count.
        """
        return self._points.count() if self.mutators else self.domains.size

    def describe(self) -> str:
        """Return a table, one line for each label: kind, what is allowed, condition, and where in the model it stands.

        >>> from graphnas import ValueChoice, recording
        >>> with recording():
        ...     net = nn.Sequential(nn.Linear(4, ValueChoice([8, 16], label="width")), nn.ReLU())
        >>> print(ModelSpace(net).describe())
        label  kind         allowed       when    where
        width  categorical  one of 8, 16  always  0(out_features)
        1 labels; number of points: 2
        """
        return format_table(self.domains, self._inline.places())

    def contains(self, decisions: Mapping[str, Decision]) -> bool:
        """Tell whether decisions are a point of the space. With mutators, they are applied to find out."""
        try:
            self.validate(decisions)
        except (MutationError, VerificationError):
            return False
        return True

    def default(self) -> Decisions:
        """Return the decisions that take the first candidate everywhere, or the first that constraints allow."""
        decisions = self.domains.default()
        return self._points.complete(decisions, FirstCandidate()).decisions if self.mutators else decisions

    def sample(self, seed: int) -> Decisions:
        """Return random decisions, uniform per choice; what only some decisions bring up is drawn as it comes.

        What a constraint or a mutator refuses is drawn anew.

        Raises:
            DecisionError: Nothing that the constraints allow is found.
            MutationError: The mutators refused every draw.
        """
        return self.complete({}, seed)

    def complete(self, decisions: Mapping[str, Decision], seed: int = 0) -> Decisions:
        """Return decisions that fit: what is missing is drawn, what does not come up under the others is left out.

        Raises:
            DecisionError: A value lies outside its domain, or there is nothing that fits.
            MutationError: The mutators refused every draw.
        """
        rng = random.Random(seed)
        if not self.mutators:
            return self.domains.sample(rng, decisions)
        for attempt in range(_DRAWS):
            drawn = {**decisions, **self.domains.sample(rng, decisions)}
            try:
                return self._points.complete(drawn, RandomCandidate(rng)).decisions
            except (MutationError, VerificationError) as error:
                if not is_refusal(error) or attempt + 1 == _DRAWS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def grid(self, granularity: int | None = None) -> Iterator[Decisions]:
        """Yield every point, lazily; choices that constraints read vary slowest, the last one fastest.

        Args:
            granularity: So many values, evenly spread, stand for a continuous domain.

        Raises:
            DecisionError: A domain is infinite, and there is no granularity.
        """
        if not self.mutators:
            return self.domains.grid(granularity)
        return (point for point in self._points.walk(granularity) if point is not None)

    def validate(self, decisions: Mapping[str, Decision]) -> Decisions:
        """Return the decisions in the order and spelling of the space. With mutators, they are applied to find out.

        Raises:
            DecisionError: A label is unknown, missing or does not come up, a value lies outside its domain, or a
                constraint is broken.
            MutationError: A mutator refused the decisions.
        """
        return self.decisions_of(self.freeze(decisions)) if self.mutators else self.domains.normalize(decisions)

    # Points near others, and vectors.

    def neighbours(self, decisions: Mapping[str, Decision]) -> tuple[Decisions, ...]:
        """Return the points at which one choice is a step away; choices that this brings up take their default.

        Raises:
            DecisionError: The decisions are no point of the space.
        """
        if not self.mutators:
            return self.domains.neighbours(decisions)
        here = self._points.given(decisions)
        known: dict[str, Domain] = {**self._inline.space, **here.domains}
        found: list[Decisions] = []
        for label, value in here.decisions.items():
            for other in known[label].neighbours(value):
                try:
                    found.append(self._points.complete({**here.decisions, label: other}, FirstCandidate()).decisions)
                except (MutationError, VerificationError) as error:
                    if not is_refusal(error):
                        raise
        return tuple(found)

    def crossover(self, one: Mapping[str, Decision], other: Mapping[str, Decision], seed: int) -> Decisions:
        """Return a point with every decision from one of two parents, by a draw for each label.

        A choice that comes up in neither parent is drawn. Mixtures that are refused are drawn anew; at the worst the
        child is the first parent.

        Raises:
            DecisionError: A parent is no point of the space.
        """
        rng = random.Random(seed)
        if not self.mutators:
            return self.domains.crossover(one, other, rng)
        parents = (self.validate(one), self.validate(other))
        for _ in range(_DRAWS):
            mixed = {label: parent[label] for parent in parents for label in parent if rng.random() < 0.5}
            whole = {**parents[1], **parents[0], **mixed}
            try:
                return self._points.complete(whole, RandomCandidate(rng)).decisions
            except (MutationError, VerificationError) as error:
                if not is_refusal(error):
                    raise
        return parents[0]

    def encode(self, decisions: Mapping[str, Decision]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return decisions as a vector whose length is that of the space; see `encoding` for what stands where.

        Raises:
            DecisionError: The decisions are no point of the space.
        """
        return np.array(self.encoding.encode(self.validate(decisions)), dtype=np.float64)

    def decode(self, vector: Sequence[float] | np.ndarray[Any, Any]) -> Decisions:
        """Return the decisions that are nearest to a vector; `contains` tells whether constraints allow them.

        Raises:
            DecisionError: The vector has another length, or a number that is not finite.
        """
        return self.encoding.decode(list(np.asarray(vector, dtype=np.float64).ravel()))

    @property
    def encoding(self) -> Encoding:
        """Where the numbers of each label stand in a vector, and the mask of those that may not come up.

        It spans what comes up under the default decisions and under each single change of them, up to 256 models.
        """
        if self._encoding is None:
            known = self._points.discovered() if self.mutators else dict(self.domains)
            optional = {label for label in known if label.startswith(MUTATOR_MARK)}
            self._encoding = Encoding(DecisionSpace(known, self._inline.space.conditions), optional)
        return self._encoding

    # What the decisions lead to.

    def freeze(self, decisions: Mapping[str, Decision]) -> Model:
        """Return the model of the decisions, verified; its history holds them.

        A label of a mutator that `domains` knows, but that does not come up under the other decisions, is left out.

        Raises:
            DecisionError: The decisions do not fit the space.
            MutationError: A mutator refused.
            VerificationError: The edited model breaks an invariant.
            ConfigError: There are no example inputs.
        """
        return self._points.given(decisions).model

    def instantiate(self, decisions: Mapping[str, Decision], build: Builder | None = None) -> nn.Module:
        """Return a freshly initialised module of the decisions.

        A space of inline choices constructs its class under `fixed_arch`, and constraints on the model are not asked
        then: `validate` does. With mutators the model is traced, the
        mutators are applied, and `build` makes the module; by default that is what `DEFAULT_BUILDER` names.

        Raises:
            GraphNASError: As `freeze`.
        """
        if self._inline.construction is not None and not self.mutators:
            return self._inline.construct(self._points.decisions.normalize(decisions))
        builder: Builder = build if build is not None else pkgutil.resolve_name(DEFAULT_BUILDER)
        return builder(self.freeze(decisions))

    def decisions_of(self, model: Model) -> Decisions:
        """Return what was decided on the way to a model of this space: the history in its shortest replayable form."""
        return decisions_in(model.history[self._inline.past :])

    def replay(self, history: Sequence[Mutation]) -> Model:
        """Return the model that a history of this space leads to; the fingerprint is the one it had then.

        Raises:
            MutationError: The history is that of another space.
        """
        mutations = list(history[self._inline.past :])
        inline: Decisions = {}
        if mutations and mutations[0].mutator == INLINE:
            inline = decisions_in([mutations.pop(0)])
        return replay(self._inline.freeze(self._inline.space.normalize(inline)), mutations, self.mutators)

    # Other forms.

    def to_json(self) -> dict[str, Any] | None:
        """Return the form that `from_json` reads; None where something, such as a closure, has none."""
        inputs = self.example_inputs
        try:
            form: dict[str, Any] = {
                "mutators": [write_call(type(mutator), *mutator.arguments) for mutator in self.mutators],
                "example_inputs": None if inputs is None else [write_tensor(value) for value in inputs],
                "constraints": [write_constraint(item) for item in self.constraints],
            }
            made = self._inline.construction
            if made is not None and made.edits:
                return None  # candidates that were put in later are modules
            if made is not None:
                return {**write_call(made.cls, made.args, dict(made.kwargs)), **form}
        except TypeError:
            return None
        assert self._inline.model is not None
        return {"model": model_to_json(self._inline.model), **form}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelSpace:
        """Return the space of a form; this imports the classes that it names, and so runs their modules.

        Raises:
            ConfigError: A class is no longer where it was.
        """
        space = cls.__new__(cls)
        model = model_from_json(data["model"]) if "model" in data else None
        inputs = data["example_inputs"]
        space._inline = InlinePart(
            None if model is not None else Construction(*read_call(data)),
            model,
            None if inputs is None else tuple(read_tensor(value) for value in inputs),
        )
        space.mutators = checked_mutators(
            [kind(*args, **kwargs) for kind, args, kwargs in map(read_call, data["mutators"])]
        )
        space.constraints = _checked_constraints([read_constraint(item) for item in data.get("constraints", ())])
        space._start()
        return space

    def __getstate__(self) -> dict[str, Any]:
        inputs = None if self.example_inputs is None else [write_tensor(value) for value in self.example_inputs]
        return {
            "construction": self._inline.construction,
            "model": self._inline.model,
            "mutators": self.mutators,
            "example_inputs": inputs,
            "constraints": self.constraints,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        inputs = state["example_inputs"]
        self._inline = InlinePart(
            state["construction"],
            state["model"],
            None if inputs is None else tuple(read_tensor(value) for value in inputs),
        )
        self.mutators, self.constraints = state["mutators"], state["constraints"]
        self._start()

    def __repr__(self) -> str:
        made, model = self._inline.construction, self._inline.model
        name = made.cls.__name__ if made is not None else model.name if model is not None else "nothing"
        return f"ModelSpace({name}, mutators={[mutator.label for mutator in self.mutators]})"


def _construction(base: nn.Module) -> Construction:
    record = record_of(base)
    if record is None:
        raise ConfigError(
            f"base: the construction of this {type(base).__name__} was not recorded, so it cannot be repeated; "
            "decorate the class with @graphnas.model_wrapper, or construct it inside `with graphnas.recording():`",
            field="base",
        )
    return Construction.of(base, record)


def _checked_constraints(constraints: Any) -> tuple[Constraint | ModelConstraint, ...]:
    if callable(constraints) or not isinstance(constraints, Sequence):
        raise ConfigError(f"constraints: expected a list of functions, got {constraints!r:.100}", field="constraints")
    return tuple(item if isinstance(item, ModelConstraint) else Constraint.of(item) for item in constraints)


def _as_tuple(inputs: Any) -> tuple[Any, ...] | None:
    if inputs is None:
        return None
    if isinstance(inputs, torch.Tensor):
        return (inputs,)
    if not isinstance(inputs, (tuple, list)):
        raise ConfigError(
            f"example_inputs: expected a tensor or a tuple of arguments of forward, got {inputs!r:.100}",
            field="example_inputs",
        )
    return tuple(inputs)
