"""The search for combinations that conditions and constraints allow, and their number.

It goes depth first and decides first what a constraint asks for, so that combinations are given up early, then the rest
in the order of the labels. A choice that does not come up is passed over with its default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphnas.mutators.condition import Condition, is_active
from graphnas.mutators.constraint import Constraint
from graphnas.mutators.domain import Decision, Decisions, Domain

Candidates = Callable[[str], Iterable[Decision]]
"""What is tried for a label, in order."""


class SearchLimitError(Exception):
    """A search has looked at as many combinations as it may; never leaves this package."""


class _Budget:
    """How many partial combinations may be looked at; None is any number."""

    def __init__(self, left: int | None) -> None:
        self._left = left

    def spend(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise SearchLimitError


@dataclass(frozen=True)
class _State:
    """Some labels decided.

    Attributes:
        taken: Decisions on labels that come up.
        values: Those, and defaults of the labels that are known not to come up.
        waiting: Constraints whose truth is not known, each with the label that it has to know next.
    """

    taken: Decisions
    values: Decisions
    waiting: tuple[tuple[Constraint, str], ...]


@dataclass(frozen=True)
class Rules:
    """Domains by label, conditions of labels, which read only labels that come before, and constraints."""

    domains: Mapping[str, Domain]
    conditions: Mapping[str, Condition]
    constraints: Sequence[Constraint]

    def broken(self, taken: Mapping[str, Decision], *, complete: bool = True) -> Constraint | None:
        """Return the first constraint that decisions break; of incomplete ones, whatever the missing ones are."""
        if not self.constraints:
            return None
        values = dict(taken)
        if complete:
            values = {label: domain.default for label, domain in self.domains.items() if label not in taken} | values
        return next((item for item in self.constraints if item.ask(values, self.domains) is False), None)

    def walk(self, candidates: Candidates, budget: int | None = None) -> Iterator[Decisions]:
        """Yield every allowed combination of candidates, in their order.

        Args:
            candidates: What is tried for a label.
            budget: How many partial combinations may be looked at.

        Raises:
            SearchLimitError: The budget was not enough.
        """
        purse = _Budget(None if budget is None else budget + len(self.domains))
        for state in self._ends(lambda state: len(state.values) == len(self.domains), candidates, purse):
            yield {label: state.taken[label] for label in self.domains if label in state.taken}

    def count(self, budget: int) -> int:
        """Return the number of allowed combinations of finite domains.

        Only labels that constraints and conditions read are gone through, the others are multiplied.

        Raises:
            SearchLimitError: More than `budget` partial combinations would have to be looked at.
        """
        found, purse = 0, _Budget(budget)
        for state in self._ends(lambda state: not state.waiting, self._all_values, purse):
            rest = [label for label in self.domains if label not in state.values]
            found += self._count_free(rest, state.taken, purse)
        return found

    def _ends(self, is_end: Callable[[_State], bool], candidates: Candidates, purse: _Budget) -> Iterator[_State]:
        """Yield the states at which the search goes no deeper, depth first."""
        levels: list[Iterator[_State]] = [self._starts()]
        while levels:
            state = next(levels[-1], None)
            if state is None:
                levels.pop()
                continue
            purse.spend()
            if is_end(state):
                yield state
            else:
                levels.append(self._branches(state, candidates))

    def _all_values(self, label: str) -> Iterable[Decision]:
        return self.domains[label].grid(1)

    def _count_free(self, labels: Sequence[str], taken: Mapping[str, Decision], purse: _Budget) -> int:
        """Count the combinations of labels that only conditions bind; what they do not bind together is multiplied."""
        found = 1
        for group in self._groups(labels):
            first, rest = group[0], group[1:]
            if not is_active(self.conditions.get(first), taken):
                found *= self._count_free(rest, taken, purse)
            elif not rest:
                found *= self.domains[first].size or 0
            else:
                below = 0
                for value in self._all_values(first):
                    purse.spend()
                    below += self._count_free(rest, {**taken, first: value}, purse)
                found *= below
        return found

    def _groups(self, labels: Sequence[str]) -> list[list[str]]:
        """Return the labels in groups such that conditions read only labels of their own group, or decided ones."""
        groups: dict[str, list[str]] = {}
        for label in labels:
            merged = [label]
            condition = self.conditions.get(label)
            for read in condition.labels if condition is not None else ():
                if read in groups and groups[read] is not merged:
                    merged = [*groups[read], *merged]
                    groups.update((item, merged) for item in merged)
            groups.update((item, merged) for item in merged)
        return list({id(group): group for group in groups.values()}.values())

    def _starts(self) -> Iterator[_State]:
        start = self._decided(_State({}, {}, tuple((constraint, "") for constraint in self.constraints)), "")
        if start is not None:
            yield start

    def _branches(self, state: _State, candidates: Candidates) -> Iterator[_State]:
        label = self._next_label(state)
        active = is_active(self.conditions.get(label), state.taken)
        for value in candidates(label) if active else (self.domains[label].default,):
            taken = {**state.taken, label: value} if active else state.taken
            child = self._decided(_State(taken, {**state.values, label: value}, state.waiting), label)
            if child is not None:
                yield child

    def _decided(self, state: _State, label: str) -> _State | None:
        """Ask the constraints that waited for a label; return None if one is broken."""
        waiting: list[tuple[Constraint, str]] = []
        for constraint, needed in state.waiting:
            verdict = constraint.ask(state.values, self.domains) if needed == label else needed
            if verdict is False:
                return None
            if verdict is not True:
                waiting.append((constraint, verdict))
        return _State(state.taken, state.values, tuple(waiting))

    def _next_label(self, state: _State) -> str:
        """Return what is decided next: what a constraint waits for, or what the condition of that reads."""
        if not state.waiting:
            return next(label for label in self.domains if label not in state.values)
        label = state.waiting[0][1]
        while True:
            condition = self.conditions.get(label)
            reads = condition.labels if condition is not None else ()
            open_label = next((read for read in reads if read not in state.values), None)
            if open_label is None:
                return label
            label = open_label
