"""The points of a space: domains, the conditions under which they come up, and the constraints on combinations.

This is what strategies and users' own algorithms work on: data, without a module or a graph. `space` has the models.

What belongs here: what one asks of a space and of single points. The search for allowed points is in `walk`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

from graphnas.errors import DecisionError
from graphnas.mutators.condition import Condition, checked_condition, inactive_label, is_active
from graphnas.mutators.constraint import Constraint
from graphnas.mutators.domain import Decision, Decisions, Domain, exact, missing_label, unknown_label
from graphnas.mutators.walk import Candidates, Rules, SearchLimitError

_DRAWS = 100
"""So many independent draws are tried before constraints are searched for a point that they allow."""

_VARIED = 10
"""The same for variations of a point, of which there are fewer."""

_LOOKED_AT = 50_000
"""So many partial combinations are looked at before a search, or the count of a size, is given up."""

_MODELS = 256
"""The same where a constraint makes a model each time that it is asked."""

_VALUES = 1000
"""A search at random tries so many values of a large or infinite domain."""


class DecisionSpace(Mapping[str, Domain]):
    """Domains by label, in order, with conditions and constraints.

    Labels that a condition reads come before the one that it belongs to; otherwise the order is the given one.

    Args:
        domains: Label to domain.
        conditions: Label to condition, of those labels that have one.
        constraints: What every combination must satisfy.

    Raises:
        DecisionError: A condition reads an unknown label, or a value that cannot be, or conditions go in a circle.
        ConfigError: A constraint is no function.

    >>> from graphnas.mutators.condition import Match
    >>> from graphnas.mutators.domain import Categorical
    >>> space = DecisionSpace(
    ...     {"op": Categorical("op", ("conv", "pool")), "kernel": Categorical("kernel", (3, 5))},
    ...     {"kernel": Match.of({"op": "conv"})},
    ... )
    >>> space.size, list(space.grid())
    (3, [{'op': 'conv', 'kernel': 3}, {'op': 'conv', 'kernel': 5}, {'op': 'pool'}])
    """

    def __init__(
        self,
        domains: Mapping[str, Domain],
        conditions: Mapping[str, Condition] | None = None,
        constraints: Sequence[object] = (),
    ) -> None:
        self.conditions = {
            label: checked_condition(label, condition, domains) for label, condition in (conditions or {}).items()
        }
        self._domains = {label: domains[label] for label in _sorted(domains, self.conditions)}
        self.constraints = tuple(item if isinstance(item, Constraint) else Constraint.of(item) for item in constraints)
        self._rules = Rules(self._domains, self.conditions, self.constraints)

    @classmethod
    def of(cls, domains: Mapping[str, Domain]) -> DecisionSpace:
        """Return `domains` as a space; one that is a space already is returned as it is."""
        return domains if isinstance(domains, DecisionSpace) else cls(domains)

    def __getitem__(self, label: str) -> Domain:
        return self._domains[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def restricted(self, predicate: object) -> DecisionSpace:
        """Return the space of those points for which a further constraint holds.

        Raises:
            ConfigError: The predicate is no function.
        """
        return DecisionSpace(self, self.conditions, (*self.constraints, predicate))

    @property
    def is_product(self) -> bool:
        """Whether every combination of values is a point."""
        return not self.conditions and not self.constraints

    @cached_property
    def size(self) -> int | None:
        """Number of points; None where there are infinitely many, or too many constraints to count them."""
        if any(domain.size is None for domain in self.values()):
            return None
        try:
            return self._rules.count(self._budget)
        except SearchLimitError:
            return None

    @property
    def _budget(self) -> int:
        return _MODELS if any(constraint.is_dear for constraint in self.constraints) else _LOOKED_AT

    # Single points.

    def normalize(self, decisions: Mapping[str, Decision]) -> Decisions:
        """Return decisions in the order and spelling of the space.

        Raises:
            DecisionError: A label is unknown, missing, or does not come up; a value lies outside its domain; or a
                constraint is broken.
        """
        for label in decisions:
            if label not in self:
                raise unknown_label(label, tuple(self))
        taken: Decisions = {}
        for label, domain in self.items():
            if is_active(self.conditions.get(label), taken):
                if label not in decisions:
                    raise missing_label(domain, tuple(decisions))
                taken[label] = domain.normalize(decisions[label])
            elif label in decisions:
                raise inactive_label(label, self.conditions[label])
        self.check_constraints(taken, complete=True)
        return taken

    def contains(self, decisions: Mapping[str, Decision]) -> bool:
        """Tell whether decisions are a point of the space, in any spelling."""
        try:
            self.normalize(decisions)
        except DecisionError:
            return False
        return True

    def comes_up(self, label: str, earlier: Mapping[str, Decision]) -> bool:
        """Tell whether a choice comes up, given the decisions on labels before it."""
        return is_active(self.conditions.get(label), earlier)

    def check_constraints(self, decisions: Mapping[str, Decision], *, complete: bool = False) -> None:
        """Refuse decisions that fit their domains, but break a constraint.

        Args:
            decisions: Some decisions; a constraint that reads others is taken as kept.
            complete: Whether that is all: choices without a decision have their default then.

        Raises:
            DecisionError: A constraint is broken.
        """
        broken = self._rules.broken(decisions, complete=complete)
        if broken is not None:
            raise DecisionError(f"{dict(decisions)}: these decisions are ruled out by the constraint {broken.name}")

    def allows(self, decisions: Mapping[str, Decision], *, complete: bool = False) -> bool:
        """Tell whether constraints are kept; see `check_constraints`."""
        return self._rules.broken(decisions, complete=complete) is None

    def default(self) -> Decisions:
        """Return the point of the defaults; where that is ruled out, the first that is found in the order of values.

        Raises:
            DecisionError: Nothing satisfies the constraints.
        """
        return self._first(lambda label: _from_default(self[label]))

    def sample(self, rng: random.Random, given: Mapping[str, Decision] | None = None) -> Decisions:
        """Draw a point: every choice that comes up uniformly, again until the constraints are satisfied.

        Where constraints rule nearly everything out, a point is searched for, and then not all are equally likely.

        Args:
            rng: Source of the draws.
            given: Decisions that are made; what does not come up under them is left out.

        Raises:
            DecisionError: A given value lies outside its domain, or nothing satisfies the constraints.
        """
        fixed = {label: self[label].normalize(value) for label, value in (given or {}).items() if label in self}
        for _ in range(_DRAWS):
            taken: Decisions = {}
            for label, domain in self.items():
                if is_active(self.conditions.get(label), taken):
                    taken[label] = fixed[label] if label in fixed else domain.sample(rng)
            if self._rules.broken(taken) is None:
                return taken
        return self._first(lambda label: [fixed[label]] if label in fixed else _shuffled(self[label], rng))

    # Points near others.

    def neighbours(self, decisions: Mapping[str, Decision]) -> tuple[Decisions, ...]:
        """Return the points at which one choice is a step away; choices that this brings up take their default.

        Raises:
            DecisionError: The decisions are no point of the space.
        """
        here = self.normalize(decisions)
        moved = (self.moved(here, label, value) for label in here for value in self[label].neighbours(here[label]))
        return tuple(point for point in moved if point is not None)

    def moved(self, decisions: Mapping[str, Decision], label: str, value: Decision) -> Decisions | None:
        """Return the point with another value for one label; choices that this brings up take their default.

        None if the constraints rule it out. The decisions are a point of the space, and are taken as they are.
        """
        taken: Decisions = {}
        for other, domain in self.items():
            if is_active(self.conditions.get(other), taken):
                taken[other] = value if other == label else decisions.get(other, domain.default)
        return taken if self._rules.broken(taken) is None else None

    def vary(self, decisions: Mapping[str, Decision], labels: Iterable[str], rng: random.Random) -> Decisions | None:
        """Return a point at which the given labels have other values, and all others those of `decisions`.

        Choices that this brings up are drawn. None if the constraints allow no such point, or none was found.
        """
        changed = set(labels)
        for _ in range(_VARIED if self.constraints else 1):
            drawn = self._varied(decisions, changed, rng)
            if drawn is None or self._rules.broken(drawn) is None:
                return drawn

        def candidates(label: str) -> Iterable[Decision]:
            domain = self[label]
            if label not in decisions:
                return _shuffled(domain, rng)
            if label not in changed:
                return [decisions[label]]
            old = exact(decisions[label])
            return (value for value in _shuffled(domain, rng) if exact(value) != old)

        try:
            return next(self._rules.walk(candidates, self._budget), None)
        except SearchLimitError:
            return None

    def _varied(self, decisions: Mapping[str, Decision], changed: set[str], rng: random.Random) -> Decisions | None:
        """Draw what `vary` wants, constraints aside; None if a label has no other value."""
        taken: Decisions = {}
        for label, domain in self.items():
            if not is_active(self.conditions.get(label), taken):
                continue
            if label in decisions and label in changed:
                old = exact(decisions[label])
                other = next((value for value in _drawn(domain, rng) if exact(value) != old), None)
                if other is None:
                    return None
                taken[label] = other
            else:
                taken[label] = decisions[label] if label in decisions else domain.sample(rng)
        return taken

    def crossover(self, one: Mapping[str, Decision], other: Mapping[str, Decision], rng: random.Random) -> Decisions:
        """Return a point with every decision from one of two parents, by a draw for each label.

        A choice that comes up in neither parent is drawn. Where constraints rule the drawn mixture out, another one is
        searched for; at the worst it is one of the parents.

        Raises:
            DecisionError: A parent is no point of the space.
        """
        parents = (self.normalize(one), self.normalize(other))
        drawn: dict[str, list[Decision]] = {}
        for label in self:
            values = [parent[label] for parent in parents if label in parent]
            rng.shuffle(values)
            drawn[label] = list({exact(value): value for value in values}.values())
        try:
            found = self._rules.walk(lambda label: drawn[label] or _shuffled(self[label], rng), self._budget)
            return next(found, parents[0])
        except SearchLimitError:
            return parents[0]

    # All points.

    def grid(self, granularity: int | None = None) -> Iterator[Decisions]:
        """Yield every point, lazily, the last label varying fastest; labels that constraints read vary slowest.

        Args:
            granularity: So many values, evenly spread, stand for a continuous domain.

        Raises:
            DecisionError: A domain is infinite, and there is no granularity.
        """
        for label, domain in self.items():
            if domain.size is None and granularity is None:
                raise DecisionError(
                    f"decision {label!r}: {domain.describe()} has no end of values; say how many of them are tried: "
                    "grid(granularity=5)",
                    label=label,
                )
        if granularity is not None and granularity < 1:
            raise DecisionError(f"granularity must be a whole number of at least 1, got {granularity!r}")
        return self.combinations(lambda label: self[label].grid(granularity or 1))

    def combinations(self, candidates: Candidates) -> Iterator[Decisions]:
        """Yield every point whose values are among the candidates, lazily, in an order as that of `grid`.

        Args:
            candidates: Returns the values of a label that are tried, in order.
        """
        return self._rules.walk(candidates)

    # How.

    def _first(self, candidates: Candidates) -> Decisions:
        names = ", ".join(constraint.name for constraint in self.constraints)
        try:
            found = next(self._rules.walk(candidates, self._budget), None)
        except SearchLimitError:
            found = None
            looked = f"none was found among {self._budget:,} combinations; loosen the constraints, or give fewer values"
        else:
            looked = "there is none; loosen the constraints"
        if found is None:
            raise DecisionError(f"no decisions of this space satisfy its constraints ({names}): {looked}")
        return found


def _sorted(domains: Mapping[str, Domain], conditions: Mapping[str, Condition]) -> list[str]:
    """Return the labels with those that a condition reads before the one that it belongs to."""
    placed: dict[str, None] = {}
    for label in domains:
        path = [label]
        while path:
            condition = conditions.get(path[-1])
            reads = condition.labels if condition is not None else ()
            first = next((read for read in reads if read not in placed), None)
            if first is None:
                placed[path.pop()] = None
            elif first in path:
                circle = " -> ".join([*path[path.index(first) :], first])
                raise DecisionError(f"choice {first!r}: whether it comes up depends on itself: {circle}", label=first)
            else:
                path.append(first)
    return list(placed)


def _from_default(domain: Domain) -> Iterator[Decision]:
    first = exact(domain.default)
    yield domain.default
    yield from (value for value in islice(domain.grid(_VALUES), _VALUES) if exact(value) != first)


def _drawn(domain: Domain, rng: random.Random) -> Iterator[Decision]:
    """Draw values of a domain, independently; so many that those with several have brought another one."""
    return (domain.sample(rng) for _ in range(_VALUES if domain.size != 1 else 1))


def _shuffled(domain: Domain, rng: random.Random) -> Iterator[Decision]:
    """Yield the values of a domain in a random order; of a large or infinite one, so many that are drawn."""
    if domain.size is None or domain.size > _VALUES:
        for _ in range(_VALUES):
            yield domain.sample(rng)
    else:
        for place in rng.sample(range(domain.size), domain.size):
            yield domain.at(place)
