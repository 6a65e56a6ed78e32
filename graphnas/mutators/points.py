"""The points of a space, where models are needed to know them.

What comes up in mutators, and what they refuse, is only known once they are applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice

from graphnas.errors import DecisionError, GraphNASError
from graphnas.ir.model import Model
from graphnas.mutators.chain import Run, is_refusal, run, runs
from graphnas.mutators.constraint import Constraint
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import MUTATOR_MARK, Decision, Decisions, Domain, unknown_label
from graphnas.mutators.inline import InlinePart
from graphnas.mutators.model_constraint import ModelConstraint
from graphnas.mutators.mutator import FirstCandidate, Given, Mutator, Sampler

_PROBES = 256
"""So many models are made to find out which choices of mutators there are."""


class Points:
    """Inline choices and mutators on top of them, with constraints on both and on the models that they lead to."""

    def __init__(
        self,
        inline: InlinePart,
        mutators: Sequence[Mutator],
        constraints: Sequence[Constraint | ModelConstraint],
    ) -> None:
        self._inline = inline
        self._mutators = mutators
        self._on_decisions = [item for item in constraints if isinstance(item, Constraint)]
        self._on_models = [item for item in constraints if isinstance(item, ModelConstraint)]

    @cached_property
    def domains(self) -> DecisionSpace:
        """The inline choices, and those of mutators that come up if every choice takes its first candidate.

        What must hold of models is a constraint on decisions here, which makes a model to find out.
        """
        plain = self.decisions
        on_models = [Constraint(partial(self._leads_to, item), item.name, is_dear=True) for item in self._on_models]
        return DecisionSpace(plain, plain.conditions, (*plain.constraints, *on_models)) if on_models else plain

    @cached_property
    def decisions(self) -> DecisionSpace:
        """The same with constraints on decisions only."""
        inline = self._inline.space
        found: dict[str, Domain] = dict(inline)
        if self._mutators:
            found.update(run(self._mutators, self._inline.freeze(inline.default()), FirstCandidate()).domains)
        return DecisionSpace(found, inline.conditions, (*inline.constraints, *self._on_decisions))

    def count(self) -> int | None:
        """Return the number of points, None where it is infinite or takes more than 256 models to know."""
        if any(domain.size is None for domain in self.domains.values()):
            return None
        if not self._on_models and self._is_product():
            return self.domains.size
        count = 0
        for tried, point in enumerate(self.walk(None)):
            if tried >= _PROBES:
                return None
            count += point is not None
        return count

    def given(self, decisions: Mapping[str, Decision]) -> Run:
        """Apply complete decisions, and check that each has a meaning."""
        mine = {label: value for label, value in decisions.items() if not label.startswith(MUTATOR_MARK)}
        rest = {label: value for label, value in decisions.items() if label not in mine}
        prefixes = tuple(f"{MUTATOR_MARK}{mutator.label}/" for mutator in self._mutators)
        for label in rest:
            if not label.startswith(prefixes):
                raise unknown_label(label, tuple(self.domains))
        inline = self._inline.space.normalize(mine)
        found = self._decided(inline, Given(rest))
        for label in rest:
            if label not in found.domains and label not in self.domains:
                raise unknown_label(label, tuple({**self._inline.space, **found.domains}))
        return found

    def complete(self, decisions: Mapping[str, Decision], otherwise: Sampler) -> Run:
        """Apply decisions of which some may be missing or not come up."""
        given = Given(decisions, otherwise)
        return self._decided(self._inline_of(given), given)

    def _inline_of(self, given: Given) -> Decisions:
        inline: Decisions = {}
        for label, domain in self._inline.space.items():
            if self._inline.space.comes_up(label, inline):
                inline[label] = given.choose(domain)
        return inline

    def _decided(self, inline: Decisions, sampler: Sampler) -> Run:
        """Return the model of inline decisions that fit and of what a sampler decides; constraints are checked."""
        self.decisions.check_constraints(inline, complete=not self._mutators)
        found = self._applied(inline, sampler)
        if self._mutators:
            self.decisions.check_constraints(found.decisions, complete=True)
        for constraint in self._on_models:
            objection = constraint.objection(found.model)
            if objection is not None:
                raise DecisionError(f"{found.decisions}: {objection}")
        return found

    def _leads_to(self, constraint: ModelConstraint, values: Mapping[str, Decision]) -> bool:
        """Tell whether the model of decisions, and of first candidates where one is missing, keeps a constraint."""
        given = Given(dict(values), FirstCandidate())
        try:
            return constraint.objection(self._applied(self._inline_of(given), given).model) is None
        except GraphNASError as error:
            if is_refusal(error):
                return False
            raise

    def _applied(self, inline: Decisions, sampler: Sampler) -> Run:
        found = run(self._mutators, self._inline.freeze(inline), sampler)
        return Run(found.domains, {**inline, **found.decisions}, found.model)

    def walk(self, granularity: int | None) -> Iterator[Decisions | None]:
        """Yield what every way through inline choices and mutators decides, None for one that is refused."""
        for inline in self._inline.space.grid(granularity):
            if not self.decisions.allows(inline):
                continue
            for found in runs(self._mutators, self._inline.freeze(inline), granularity):
                decisions = {**inline, **found.decisions} if found is not None else None
                yield decisions if found is not None and self._allows(decisions or {}, found.model) else None

    def _allows(self, decisions: Decisions, model: Model) -> bool:
        is_allowed = self.decisions.allows(decisions, complete=True)
        return is_allowed and all(item.objection(model) is None for item in self._on_models)

    def _probes(self) -> Iterator[dict[str, Domain] | None]:
        """Yield the domains that come up under each single change of the default decisions, None where it is refused.

        What only a change brings up is changed in its turn. Constraints do not count.
        """
        inline = self._inline.space
        start = self._applied(inline.default(), FirstCandidate())
        seen = {**inline, **start.domains}
        waiting = [(label, start.decisions) for label in start.decisions]
        while waiting:
            label, point = waiting.pop(0)
            for value in seen[label].neighbours(point[label]):
                given = Given({**point, label: value}, FirstCandidate())
                try:
                    found = self._applied(self._inline_of(given), given)
                except GraphNASError:
                    yield None
                    continue
                yield found.domains
                waiting += [(new, found.decisions) for new in found.domains if new not in seen]
                seen.update((new, domain) for new, domain in found.domains.items() if new not in seen)

    def discovered(self) -> dict[str, Domain]:
        """Return every domain that comes up under some decisions, as far as the probes go."""
        known: dict[str, Domain] = dict(self.domains)
        for found in islice(self._probes(), _PROBES):
            for label, domain in (found or {}).items():
                if known.setdefault(label, domain) != domain:
                    raise DecisionError(
                        f"choice {label!r} has other candidates under other decisions ({known[label].describe()}, and "
                        f"{domain.describe()}), so there are no vectors of one length; label such choices differently",
                        label=label,
                    )
        return known

    def _is_product(self) -> bool:
        """Tell whether every single change of the default decisions is accepted, and leaves the domains as they are."""
        expected = {label: domain for label, domain in self.domains.items() if label.startswith(MUTATOR_MARK)}
        if sum(len(domain.neighbours(domain.default)) for domain in self.domains.values()) > _PROBES:
            return False
        return all(found == expected for found in self._probes())
