"""Mutators: edits of a traced model with decisions to be made on the way.

What belongs here: the base class, and how one application of it is run and recorded. What does not: the edits that a
`mutate` can make (`graphnas.ir.rewrite`), and how mutators and inline choices form a space (`space`).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

from graphnas.errors import ConfigError, DecisionError, GraphNASError, MutationError
from graphnas.ir.model import Model, Mutation
from graphnas.ir.rewrite import Rewriter
from graphnas.mutators.choices.choice import as_decision
from graphnas.mutators.domain import (
    MUTATOR_MARK,
    Categorical,
    Decision,
    Decisions,
    Domain,
    missing_label,
    unknown_label,
)

_C = TypeVar("_C")


@runtime_checkable
class Sampler(Protocol):
    """What decides the choices of a mutator as they come up."""

    def choose(self, domain: Domain) -> Decision:
        """Return a value of the domain."""


class Mutator:
    """Base of mutators: subclass, write `mutate`, and let `choice` decide what is open.

    >>> class WidenStem(Mutator):
    ...     def mutate(self, model):
    ...         model.update_module("stem", kernel_size=self.choice([3, 5], label="size"), padding="same")

    Each application runs on a copy of the mutator, so what `mutate` writes to `self` is gone afterwards; one mutator
    may be applied many times and from several threads. Constructor arguments are kept as they were given, whether or
    not a subclass calls `super().__init__`, and a mutator is stored by them.

    Args:
        label: Name of the mutator in decisions and histories; the name of the class by default. Two mutators of one
            space must not share it.
    """

    label: str
    arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        mutator = super().__new__(cls)
        mutator.arguments = args, kwargs
        mutator.label = kwargs.get("label") or cls.__name__
        return mutator

    def __init__(self, label: str | None = None) -> None:
        if label is not None:
            self.label = label

    def mutate(self, model: Rewriter) -> None:
        """Edit `model`, an open edit; to be written by subclasses.

        Raises:
            MutationError: These decisions make no valid model.
        """
        raise NotImplementedError(f"{type(self).__name__} is a Mutator without a method mutate(self, model)")

    @overload
    def choice(self, candidates: Sequence[_C], label: str | None = None) -> _C: ...

    @overload
    def choice(self, candidates: Domain, label: str | None = None) -> Any: ...

    def choice(self, candidates: Sequence[Any] | Domain, label: str | None = None) -> Any:
        """Return the decided candidate; to be called in `mutate`.

        Args:
            candidates: None, bool, int, float or str, each once. Or a domain, such as `IntRange("width", 8, 64)`, whose
                label is the name of the choice if `label` is not given.
            label: Name of the choice within this mutator. Choices without one are numbered in the order in which they
                come up. Asked again under the same label, the answer is the same.

        Raises:
            DecisionError: The candidates are no JSON scalars, or the decision is missing or not among them.
            MutationError: It is called outside `mutate`.
        """
        return self._scope().choose(candidates, label)

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Let the choices in the block be named `name/choice`, so that places that are edited alike decide apart.

        Raises:
            MutationError: It is called outside `mutate`.
        """
        outer = self._scope()
        self.__dict__["_scope_now"] = _Scope(outer.application, f"{outer.prefix}{name}/")
        try:
            yield
        finally:
            self.__dict__["_scope_now"] = outer

    def delegate(self, mutator: Mutator, model: Rewriter, name: str | None = None) -> None:
        """Let another mutator edit `model` as a part of this one; its choices are named `name/choice`.

        Args:
            mutator: The other mutator; a copy of it is run.
            model: The open edit.
            name: By default the label of the other mutator.

        Raises:
            MutationError: It is called outside `mutate`, or the other mutator refuses.
        """
        outer = self._scope()
        bound = copy.copy(mutator)
        bound.__dict__["_scope_now"] = _Scope(outer.application, f"{outer.prefix}{name or checked_label(mutator)}/")
        bound.mutate(model)

    def _scope(self) -> _Scope:
        scope: _Scope | None = self.__dict__.get("_scope_now")
        if scope is None:
            raise MutationError(
                f"mutator {self.label!r}: choices work only inside mutate(self, model), on the self that it is given"
            )
        return scope

    def apply(self, model: Model, decisions: Mapping[str, Decision] | Sampler) -> Model:
        """Return the model that this mutator makes of `model`, which stays as it is, with the mutation in its history.

        Args:
            model: The model.
            decisions: Values by label, `@mutator/choice`; labels of others are passed over. Or what decides them.

        Raises:
            DecisionError: The decisions do not fit the choices.
            MutationError: The edit was refused, or `mutate` failed; then the cause is attached.
            VerificationError: The edited model breaks an invariant.
        """
        return self.run(model, decisions)[1]

    def dry_run(self, model: Model) -> tuple[dict[str, Domain], Model]:
        """Return the domains that come up if every choice takes its first candidate, and the model that this makes."""
        return self.run(model, FirstCandidate())

    def run(self, model: Model, decisions: Mapping[str, Decision] | Sampler) -> tuple[dict[str, Domain], Model]:
        """Do what `apply` does; return the domains that came up as well."""
        label = checked_label(self)
        given = isinstance(decisions, Mapping)
        application = _Application(label, Given(decisions) if isinstance(decisions, Mapping) else decisions)
        bound = copy.copy(self)
        bound.__dict__["_scope_now"] = _Scope(application, "")
        edit = Rewriter(model)
        try:
            bound.mutate(edit)
            if given:
                application.check_all_used(decisions)
            child = edit.freeze(mutator=type(self).__name__, label=label, decisions=application.decisions)
        except GraphNASError:
            raise
        except Exception as error:
            raise MutationError(
                f"mutator {label!r} ({type(self).__name__}) failed on {model.name} with decisions "
                f"{application.decisions}: {type(error).__name__}: {error}"
            ) from error
        return application.domains, child


class FirstCandidate:
    """Decides every choice by its default."""

    def choose(self, domain: Domain) -> Decision:
        return domain.default


class RandomCandidate:
    """Decides every choice by a draw."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def choose(self, domain: Domain) -> Decision:
        return domain.sample(self.rng)


class Given:
    """Decides every choice as given.

    Args:
        decisions: Values by label.
        otherwise: Decides what is not given; None makes that an error.
    """

    def __init__(self, decisions: Mapping[str, Decision], otherwise: Sampler | None = None) -> None:
        self.decisions = decisions
        self.otherwise = otherwise

    def choose(self, domain: Domain) -> Decision:
        if domain.label in self.decisions:
            return domain.normalize(self.decisions[domain.label])
        if self.otherwise is None:
            raise missing_label(domain, tuple(self.decisions))
        return self.otherwise.choose(domain)


def checked_label(mutator: Mutator) -> str:
    """Return the label of a mutator.

    Raises:
        MutationError: It cannot stand in a decision's label.
    """
    label: object = mutator.label
    if not isinstance(label, str) or not label or "/" in label or label.startswith(MUTATOR_MARK):
        raise MutationError(
            f"{type(mutator).__name__}: the label of a mutator must be a text without '/' that is not empty and does "
            f"not begin with {MUTATOR_MARK!r}, got {label!r}"
        )
    return label


def by_label(mutators: Iterable[Any], refusal: Callable[[Mutator, Mutator], GraphNASError]) -> dict[str, Mutator]:
    """Return mutators by their labels, in order.

    Args:
        mutators: What is to be checked.
        refusal: The error where two share a label.

    Raises:
        ConfigError: Something among them is no mutator.
        MutationError: A label cannot stand in a decision's label.
    """
    found: dict[str, Mutator] = {}
    for mutator in mutators:
        if not isinstance(mutator, Mutator):
            raise ConfigError(f"mutators: expected instances of Mutator, got {mutator!r:.100}", field="mutators")
        label = checked_label(mutator)
        if label in found:
            raise refusal(found[label], mutator)
        found[label] = mutator
    return found


def replay(model: Model, history: Sequence[Mutation], mutators: Sequence[Mutator]) -> Model:
    """Return `model` with the mutations of a history applied again; the fingerprint is the one it had then.

    Args:
        model: The model that the history starts from.
        history: Mutations, oldest first.
        mutators: The mutators that made them, found by their labels.

    Raises:
        MutationError: A mutation's mutator is not among `mutators`, or it was applied to another model than this one.
    """
    found = {checked_label(mutator): mutator for mutator in mutators}
    for mutation in history:
        mutator = found.get(mutation.label)
        if mutator is None:
            known = ", ".join(map(repr, found)) or "none"
            raise MutationError(
                f"the history has a mutation by {mutation.label!r} ({mutation.mutator}), which is not among the "
                f"mutators given: {known}. Mutations by inline choices are replayed by ModelSpace.replay"
            )
        if mutation.parent != model.fingerprint:
            raise MutationError(
                f"mutation {mutation.label!r} was applied to a model of fingerprint {mutation.parent}, this one has "
                f"{model.fingerprint}; start from the model that the history starts from"
            )
        model = mutator.apply(model, dict(mutation.decisions))
    return model


class _Application:
    """The choices of one run of `mutate`."""

    def __init__(self, label: str, sampler: Sampler) -> None:
        self.domains: dict[str, Domain] = {}
        self.decisions: Decisions = {}
        self._prefix = f"{MUTATOR_MARK}{label}/"
        self._sampler = sampler

    def choose(self, candidates: Sequence[Any] | Domain, name: str) -> Any:
        label = f"{self._prefix}{name}"
        domain = _relabelled(candidates, label) if isinstance(candidates, Domain) else _categorical(label, candidates)
        known = self.domains.setdefault(label, domain)
        if known != domain:
            raise DecisionError(
                f"choice {label!r} came up with different candidates, {known.describe()} and {domain.describe()}; "
                "give one of them another label",
                label=label,
            )
        if label not in self.decisions:
            self.decisions[label] = domain.normalize(self._sampler.choose(domain))
        return self.decisions[label]

    def check_all_used(self, decisions: Any) -> None:
        for label in decisions:
            if label.startswith(self._prefix) and label not in self.domains:
                raise unknown_label(label, tuple(self.domains))


class _Scope:
    """A part of an application: what its choices are called, and how many had no name of their own."""

    def __init__(self, application: _Application, prefix: str) -> None:
        self.application = application
        self.prefix = prefix
        self._count = 0

    def choose(self, candidates: Sequence[Any] | Domain, name: str | None) -> Any:
        if name is None and isinstance(candidates, Domain):
            name = candidates.label
        if name is None:
            self._count += 1
            name = str(self._count)
        return self.application.choose(candidates, f"{self.prefix}{name}")


def _categorical(label: str, candidates: Sequence[Any]) -> Domain:
    for candidate in candidates:
        if isinstance(candidate, (tuple, list)):
            raise DecisionError(f"choice {label!r}: candidate {candidate!r:.100} is no scalar; {_REMEDY}", label=label)
        try:
            as_decision(candidate, label)
        except DecisionError as error:
            message = f"choice {label!r}: candidate {candidate!r:.100} cannot be kept as JSON; {_REMEDY}"
            raise DecisionError(message, label=label) from error
    return Categorical(label, tuple(candidates))


def _relabelled(domain: Domain, label: str) -> Domain:
    relabelled = copy.copy(domain)
    object.__setattr__(relabelled, "label", label)
    return relabelled


_REMEDY = (
    "candidates are None, bool, int, float or str: choose a name or an index, and look it up, as in "
    "`sites[self.choice(range(len(sites)))]`"
)
