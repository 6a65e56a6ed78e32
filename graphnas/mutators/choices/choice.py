"""What all inline choices share: labels, and telling the construction in progress which choices it holds.

A choice is *declared* when it is constructed. Declarations gather in a `Collector`: one per construction of a model,
which is where two choices that share a label but not their candidates are caught, and one that a space opens around a
dry run to learn its domains.

What belongs here: labels, collectors, the rules for candidates. What a decided choice turns into is `fixed`'s, and the
choices themselves have a module each.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias
from weakref import WeakKeyDictionary

from graphnas.errors import DecisionError
from graphnas.ir.context import ContextStack, ModelNamespace
from graphnas.mutators.condition import Condition
from graphnas.mutators.constraint import Constraint, Predicate
from graphnas.mutators.domain import MUTATOR_MARK, Decision, Domain

Nature: TypeAlias = Literal["structure", "value"]
"""Whether deciding selects among modules that are built already, or goes into the construction of modules."""

_COLLECTOR = "graphnas_choices"


class Collector:
    """The choices of one construction, by label, in the order of their construction."""

    def __init__(self) -> None:
        self.domains: dict[str, Domain] = {}
        self.natures: dict[str, Nature] = {}
        self.conditions: dict[str, Condition] = {}
        self.constraints: dict[str, Constraint] = {}
        """What choices that belong together demand of their decisions, by name."""

    def declare(self, domain: Domain, nature: Nature, condition: Condition | None = None) -> None:
        """Note a choice; one label may be declared repeatedly, as it is the same choice.

        Raises:
            DecisionError: The label is known with other candidates or another condition.
        """
        is_new = domain.label not in self.domains
        known = self.domains.setdefault(domain.label, domain)
        if known != domain:
            raise DecisionError(
                f"label {domain.label!r} stands for two different choices, {known.describe()} and {domain.describe()}; "
                "choices of one label are one choice: give them the same candidates, or one of them another label",
                label=domain.label,
            )
        if is_new and condition is not None:
            self.conditions[domain.label] = condition
        elif self.conditions.get(domain.label) != condition:
            both = (self.conditions.get(domain.label), condition)
            first, second = (f"`{item.describe()}`" if item is not None else "always" for item in both)
            raise DecisionError(
                f"label {domain.label!r} comes up under two different conditions, {first} and {second}; choices of one "
                "label are one choice: give them the same condition, or one of them another label",
                label=domain.label,
            )
        if self.natures.setdefault(domain.label, nature) != nature:
            # Re-instantiation serves both natures, a rewrite of the graph serves structure only.
            self.natures[domain.label] = "value"

    def __enter__(self) -> Collector:
        self._context = ContextStack(_COLLECTOR, self)
        self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)


_BY_CONSTRUCTION: WeakKeyDictionary[ModelNamespace, Collector] = WeakKeyDictionary()


def declare(domain: Domain, nature: Nature, condition: Condition | None = None) -> None:
    """Tell the construction in progress, and the space that looks on, that it holds a choice.

    Raises:
        DecisionError: The label is known with other candidates or another condition.
    """
    namespace = ContextStack.get(ModelNamespace.KEY)
    if namespace is not None:
        _BY_CONSTRUCTION.setdefault(namespace.root, Collector()).declare(domain, nature, condition)
    onlooker = ContextStack.get(_COLLECTOR)
    if onlooker is not None:
        onlooker.declare(domain, nature, condition)


def constrain(name: str, predicate: Predicate) -> None:
    """Tell the space that looks on of combinations that a choice does not allow; once for each name."""
    onlooker = ContextStack.get(_COLLECTOR)
    if onlooker is not None:
        onlooker.constraints.setdefault(name, Constraint(predicate, name))


def choose_label(label: str | None, kind: str) -> str:
    """Return the label of an inline choice: the given one, or the next number of the model in construction.

    Raises:
        DecisionError: The label is no text, is empty, or has the mark of mutators.
        NoContextError: No label is given and no model is being constructed.
    """
    if label is None:
        return ModelNamespace.next_label()
    if not isinstance(label, str) or not label:
        raise DecisionError(f"{kind}: label must be a text that is not empty, got {label!r}")
    if label.startswith(MUTATOR_MARK):
        raise DecisionError(
            f"{kind}: label {label!r} must not begin with {MUTATOR_MARK!r}, which marks the choices of mutators",
            label=label,
        )
    return label


def check_prior(prior: Any, count: int | None, label: str) -> tuple[float, ...] | None:
    """Return `prior` as probabilities.

    Raises:
        DecisionError: It has another length than the candidates, a negative entry, or another sum than 1.
    """
    if prior is None:
        return None
    values = tuple(float(value) for value in prior)
    if len(values) != count:
        many = "infinitely many candidates; leave it out" if count is None else f"{count} candidates; give one for each"
        raise DecisionError(f"choice {label!r}: prior has {len(values)} entries for {many}", label=label)
    if any(not value >= 0 for value in values) or not math.isclose(math.fsum(values), 1.0, abs_tol=1e-6):
        raise DecisionError(
            f"choice {label!r}: prior must hold probabilities that sum to 1, got {list(values)}, "
            f"which sum to {math.fsum(values):g}",
            label=label,
        )
    return values


def as_decision(candidate: Any, label: str) -> Decision:
    """Return the JSON form in which decisions spell a candidate: itself, with tuples as lists.

    Raises:
        DecisionError: There is no such form.
    """
    if candidate is None or type(candidate) in (bool, int, str):
        return candidate
    if type(candidate) is float and math.isfinite(candidate):
        return candidate
    if type(candidate) in (tuple, list):
        return [as_decision(item, label) for item in candidate]
    raise DecisionError(
        f"choice {label!r}: candidate {candidate!r:.100} of type {type(candidate).__name__} cannot be kept as JSON; "
        "use None, bool, int, finite float, str, or tuples and lists of these, and LayerChoice to choose among modules",
        label=label,
    )
