"""The space of a model: what can be decided, and the model that decisions lead to.

Inline choices come first, in the order of their construction, then the choices of the mutators in the order of their
application. A space holds a construction (class and arguments) or an `ir.Model`, never weights.

What a decided model is built with lies above this layer: `instantiate` takes a builder, and has one by name.
"""

from __future__ import annotations

import math
import pkgutil
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from graphnas.errors import ConfigError, GraphNASError, MutationError
from graphnas.ir.json_form import from_json as model_from_json
from graphnas.ir.json_form import to_json as model_to_json
from graphnas.ir.literal import FrozenDict, freeze
from graphnas.ir.lru import LRU
from graphnas.ir.model import Model, Mutation
from graphnas.ir.record import record_of
from graphnas.ir.trace import trace
from graphnas.ir.verify import verified
from graphnas.mutators.choices.choice import Collector
from graphnas.mutators.choices.fixed import Fixation
from graphnas.mutators.construct import Construction
from graphnas.mutators.domain import (
    MUTATOR_MARK,
    Decision,
    Decisions,
    Domain,
    check_decisions,
    unknown_label,
)
from graphnas.mutators.mutator import Given, Mutator, RandomCandidate, Sampler, checked_label, replay
from graphnas.mutators.serialize import (
    class_reference,
    read_arguments,
    read_tensor,
    resolve_class,
    write_arguments,
    write_tensor,
)

Builder = Callable[[Model], nn.Module]

DEFAULT_BUILDER = "graphnas.codegen:to_module"
"""What builds a module of a model where no builder is given; resolved when it is first needed."""

INLINE = "InlineChoices"
"""Name under which a history holds the decisions of inline choices."""

_REMEMBERED = 64
_PROBES = 256


class ModelSpace:
    """Everything that a model can be decided to be.

    Args:
        base: A module built under `@model_wrapper` or `recording()`, or a traced model.
        mutators: Edits on top of it, in the order of their application.
        example_inputs: Arguments of `forward`: a tensor or a tuple. Needed to trace a module: for `freeze`, and
            wherever there are mutators.

    Raises:
        ConfigError: `base` was not recorded, two mutators share a label, or something else is of the wrong kind.
    """

    def __init__(self, base: nn.Module | Model, mutators: Sequence[Mutator] = (), example_inputs: Any = None) -> None:
        self._construction: Construction | None = None
        self._model: Model | None = None
        if isinstance(base, Model):
            self._model = base
        elif isinstance(base, nn.Module):
            self._construction = _construction(base)
        else:
            raise ConfigError(
                f"base: expected a torch.nn.Module or a traced model, got {base!r:.100}; construct the model first",
                field="base",
            )
        self.mutators = _checked(mutators)
        self.example_inputs: tuple[Any, ...] | None = _as_tuple(example_inputs)
        self._start()

    def _start(self) -> None:
        self._inline: dict[str, Domain] | None = None
        self._domains: dict[str, Domain] | None = None
        self._traced: LRU[Model] = LRU(_REMEMBERED)

    # What can be decided.

    @property
    def inline_domains(self) -> dict[str, Domain]:
        """Label to domain of the inline choices, in the order of their construction."""
        if self._inline is None:
            with Collector() as collector:
                if self._construction is not None:
                    self._construction.run_aside(None, shapes_only=True)
            self._inline = collector.domains
        return dict(self._inline)

    @property
    def domains(self) -> dict[str, Domain]:
        """Label to domain, in order. Of mutators, those that come up if every choice takes its first candidate."""
        if self._domains is None:
            found = self.inline_domains
            default = {label: domain.default for label, domain in found.items()}
            if self.mutators:
                found.update(self._run(default, {})[0])
            self._domains = found
        return dict(self._domains)

    def default(self) -> Decisions:
        """Return the decisions that take the first candidate everywhere."""
        return {label: domain.default for label, domain in self.domains.items()}

    def size(self) -> int | None:
        """Return the number of points; None where it is infinite or not known.

        It is the product of the domains if the mutators' choices stay the same under every single change of the default
        decisions, and not known if they depend on other choices, or trying takes more than 256 models.
        """
        sizes = [domain.size for domain in self.domains.values()]
        if any(size is None for size in sizes):
            return None
        if self.mutators and not self._is_product():
            return None
        return math.prod(size for size in sizes if size is not None)

    def sample(self, seed: int) -> Decisions:
        """Return random decisions, uniform per choice; what only some decisions bring up is drawn as it comes."""
        return self.complete({}, seed)

    def complete(self, decisions: Mapping[str, Decision], seed: int = 0) -> Decisions:
        """Return decisions that fit: what is missing is drawn, what does not come up under the others is left out.

        Raises:
            DecisionError: A value lies outside its domain.
        """
        draw = Given(decisions, RandomCandidate(random.Random(seed)))
        chosen = {label: draw.choose(domain) for label, domain in self.inline_domains.items()}
        return {**chosen, **self._run(chosen, draw)[1]} if self.mutators else chosen

    def validate(self, decisions: Mapping[str, Decision]) -> Decisions:
        """Return the decisions in the order and spelling of the space. With mutators, they are applied to find out.

        Raises:
            DecisionError: A label is unknown or missing, or a value lies outside its domain.
            MutationError: A mutator refused the decisions.
        """
        if not self.mutators:
            return check_decisions(self.inline_domains, decisions)
        return self.decisions_of(self.freeze(decisions))

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
        inline = self._inline_part(decisions)
        return self._run(inline, {k: v for k, v in decisions.items() if k not in inline})[2]

    def instantiate(self, decisions: Mapping[str, Decision], build: Builder | None = None) -> nn.Module:
        """Return a freshly initialised module of the decisions.

        A space of inline choices constructs its class under `fixed_arch`. With mutators the model is traced, the
        mutators are applied, and `build` makes the module; by default that is what `DEFAULT_BUILDER` names.

        Raises:
            GraphNASError: As `freeze`.
        """
        if self._construction is not None and not self.mutators:
            return self._construction.run(Fixation(check_decisions(self.inline_domains, decisions)))
        builder: Builder = build if build is not None else pkgutil.resolve_name(DEFAULT_BUILDER)
        return builder(self.freeze(decisions))

    def decisions_of(self, model: Model) -> Decisions:
        """Return what was decided on the way to a model of this space: the history in its shortest replayable form."""
        before = len(self._model.history) if self._model is not None else 0
        return {
            label: _plain(value) for mutation in model.history[before:] for label, value in mutation.decisions.items()
        }

    def replay(self, history: Sequence[Mutation]) -> Model:
        """Return the model that a history of this space leads to; the fingerprint is the one it had then.

        Raises:
            MutationError: The history is that of another space.
        """
        mutations = list(history[len(self._model.history) if self._model is not None else 0 :])
        inline: Decisions = {}
        if mutations and mutations[0].mutator == INLINE:
            inline = {label: _plain(value) for label, value in mutations.pop(0).decisions.items()}
        return replay(self._base(check_decisions(self.inline_domains, inline)), mutations, self.mutators)

    # How.

    def _inline_part(self, decisions: Mapping[str, Decision]) -> Decisions:
        mine = {label: value for label, value in decisions.items() if not label.startswith(MUTATOR_MARK)}
        prefixes = tuple(f"{MUTATOR_MARK}{mutator.label}/" for mutator in self.mutators)
        for label in decisions:
            if label not in mine and not label.startswith(prefixes):
                raise unknown_label(label, tuple(self.domains))
        return check_decisions(self.inline_domains, mine)

    def _run(
        self, inline: Decisions, rest: Mapping[str, Decision] | Sampler
    ) -> tuple[dict[str, Domain], Decisions, Model]:
        """Apply every mutator; return the domains that came up, the decisions taken, and the model."""
        model = self._base(inline)
        domains: dict[str, Domain] = {}
        discovering = self._domains is None and rest == {}
        for mutator in self.mutators:
            if discovering:
                found, model = mutator.dry_run(model)
            else:
                found, model = mutator.run(model, Given(rest) if isinstance(rest, Mapping) else rest)
            domains.update(found)
        if isinstance(rest, Mapping):
            known = () if discovering else tuple(self.domains)
            for label in rest:
                if label not in domains and label not in known:
                    raise unknown_label(label, tuple({**self.inline_domains, **domains}))
        taken = {label: value for label, value in self.decisions_of(model).items() if label in domains}
        return domains, taken, model

    def _base(self, inline: Decisions) -> Model:
        """Return the traced model of inline decisions, with these as its history."""
        if self._construction is None:
            assert self._model is not None
            return self._model
        if self.example_inputs is None:
            why = "a space with mutators edits the graph" if self.mutators else "to freeze is to trace"
            raise ConfigError(
                f"example_inputs: {why}, which needs them: ModelSpace(base, mutators, "
                "example_inputs=(torch.zeros(2, 3, 32, 32),)) with the shapes of your model",
                field="example_inputs",
            )
        key = str(inline)
        model = self._traced.get(key)
        if model is None:
            model = verified(trace(self._construction.run_aside(Fixation(inline)), self.example_inputs))
            if inline:
                chosen: FrozenDict[Any] = FrozenDict((label, freeze(value)) for label, value in inline.items())
                edits = tuple(f"Decided {label} to be {value!r}." for label, value in inline.items())
                model = replace(model, history=(Mutation(INLINE, "", tuple(inline), chosen, edits, ""),))
            self._traced.put(key, model)
        return model

    def _is_product(self) -> bool:
        default, expected = self.default(), self.domains
        probes = [{**default, label: v} for label, d in expected.items() for v in d.neighbours(default[label])]
        if len(probes) > _PROBES:
            return False
        inline = self.inline_domains
        for probe in probes:
            try:
                mine = {label: probe[label] for label in inline}
                found = self._run(mine, {label: v for label, v in probe.items() if label not in inline})[0]
            except GraphNASError:
                return False
            if {**inline, **found} != expected:
                return False
        return True

    # Other forms.

    def to_json(self) -> dict[str, Any] | None:
        """Return the form that `from_json` reads; None where something, such as a closure, has none."""
        try:
            form: dict[str, Any] = {
                "mutators": [_write(type(mutator), *mutator.arguments) for mutator in self.mutators],
                "example_inputs": None
                if self.example_inputs is None
                else [write_tensor(value) for value in self.example_inputs],
            }
            if self._construction is not None:
                made = self._construction
                return {**_write(made.cls, made.args, dict(made.kwargs)), **form}
        except TypeError:
            return None
        assert self._model is not None
        return {"model": model_to_json(self._model), **form}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelSpace:
        """Return the space of a form; this imports the classes that it names, and so runs their modules.

        Raises:
            ConfigError: A class is no longer where it was.
        """
        space = cls.__new__(cls)
        space._model = model_from_json(data["model"]) if "model" in data else None
        space._construction = None if "model" in data else Construction(*_read(data))
        space.mutators = _checked([kind(*args, **kwargs) for kind, args, kwargs in map(_read, data["mutators"])])
        inputs = data["example_inputs"]
        space.example_inputs = None if inputs is None else tuple(read_tensor(value) for value in inputs)
        space._start()
        return space

    def __getstate__(self) -> dict[str, Any]:
        inputs = None if self.example_inputs is None else [write_tensor(value) for value in self.example_inputs]
        return {
            "construction": self._construction,
            "model": self._model,
            "mutators": self.mutators,
            "example_inputs": inputs,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._construction, self._model, self.mutators = state["construction"], state["model"], state["mutators"]
        inputs = state["example_inputs"]
        self.example_inputs = None if inputs is None else tuple(read_tensor(value) for value in inputs)
        self._start()

    def __repr__(self) -> str:
        made = self._construction
        name = made.cls.__name__ if made is not None else self._model.name if self._model is not None else "nothing"
        return f"ModelSpace({name}, mutators={[mutator.label for mutator in self.mutators]})"


def _construction(base: nn.Module) -> Construction:
    record = record_of(base)
    if record is None:
        raise ConfigError(
            f"base: the construction of this {type(base).__name__} was not recorded, so it cannot be repeated; "
            "decorate the class with @graphnas.model_wrapper, or construct it inside `with graphnas.recording():`",
            field="base",
        )
    return Construction.of(record)


def _checked(mutators: Any) -> tuple[Mutator, ...]:
    found: dict[str, Mutator] = {}
    for mutator in mutators:
        if not isinstance(mutator, Mutator):
            raise ConfigError(f"mutators: expected instances of Mutator, got {mutator!r:.100}", field="mutators")
        label = checked_label(mutator)
        if label in found:
            raise MutationError(
                f"two mutators of the space share the label {label!r} ({type(found[label]).__name__} and "
                f"{type(mutator).__name__}); give one of them another: {type(mutator).__name__}(label='...')"
            )
        found[label] = mutator
    return tuple(found.values())


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


def _plain(value: Any) -> Decision:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _write(kind: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    reference = class_reference(kind)
    if reference is None:
        raise TypeError(f"{kind.__qualname__} cannot be imported")
    return {
        "class": reference,
        "args": [write_arguments(item) for item in args],
        "kwargs": {name: write_arguments(item) for name, item in kwargs.items()},
    }


def _read(data: Mapping[str, Any]) -> tuple[type[Any], tuple[Any, ...], dict[str, Any]]:
    kwargs = {name: read_arguments(item) for name, item in data["kwargs"].items()}
    return resolve_class(data["class"]), tuple(read_arguments(item) for item in data["args"]), kwargs
