"""The graph engine: models of inline decisions by rewriting one traced model in which structural choices are open.

A structural choice selects among modules that are all constructed anyway, so deciding it is a rewrite. A value goes
through the constructor, where ordinary Python may compute with it: for other values the class is constructed again, on
the meta device where that is possible, and traced.

A rewrite is right only if the user's code does not look at an open choice otherwise than by calling it. That shows when
the decided class is constructed and traced as well, and gives another model. It is done for the first decisions with
each value of each label, and again at the 2nd, 4th, 8th … rewrite; once a difference shows, nothing is rewritten any
more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphnas.errors import GraphNASError, MutationError, VerificationError
from graphnas.ir.decide import OpenModel, without_settings
from graphnas.ir.lru import LRU
from graphnas.ir.model import Model
from graphnas.ir.report import Report
from graphnas.ir.verify import verified
from graphnas.mutators.choices.choice import Nature
from graphnas.mutators.domain import Decision, Decisions, exact

_REMEMBERED = 16

Trace = Callable[[Mapping[str, Decision], tuple[Nature, ...]], Model]
"""Gives the traced model of decisions, of which those of the given natures are made and the others stay open."""


@dataclass
class _Super:
    """An open model, and what was checked of it."""

    model: OpenModel
    report: Report | None
    checked: set[Any] = field(default_factory=set)
    rewrites: int = 0

    def is_due(self, structure: Mapping[str, Decision]) -> bool:
        """Tell whether a rewrite is to be checked, and take note of it."""
        self.rewrites += 1
        found = {(label, exact(value)) for label, value in structure.items()}
        due = not found <= self.checked or self.rewrites & (self.rewrites - 1) == 0
        self.checked |= found
        return due


class GraphEngine:
    """Models of decisions, by rewrites as long as these are right.

    Args:
        trace: What constructs and traces.
        natures: Label to nature, of every inline choice.
    """

    def __init__(self, trace: Trace, natures: Mapping[str, Nature]) -> None:
        self._trace = trace
        self._natures = dict(natures)
        self._structural = any(nature == "structure" for nature in natures.values())
        self._all_structural = all(nature == "structure" for nature in natures.values())
        self._supers: LRU[_Super] = LRU(_REMEMBERED)
        self._seen: LRU[bool] = LRU(_REMEMBERED)
        self.rewrites = self._structural
        """Whether choices are decided by rewrites."""

    def model(self, decisions: Mapping[str, Decision], values: Decisions) -> Model:
        """Return the verified model of decisions.

        Args:
            decisions: Decisions on the choices that come up.
            values: Those, and the defaults of the choices that do not.

        Raises:
            TraceError: The decided module cannot be traced.
            VerificationError: It is not valid.
        """
        structure = {label: value for label, value in values.items() if self._natures[label] == "structure"}
        found = self._super(decisions, {label: value for label, value in values.items() if label not in structure})
        if found is None:
            return self._decided(decisions)
        try:
            rewritten = verified(Model(found.model.decide(structure), report=found.report))
        except MutationError:  # choices are used otherwise than by calls
            self.rewrites = False
            return self._decided(decisions)
        except VerificationError:  # the code would go another way, or nowhere
            return self._decided(decisions)
        if found.is_due(structure):
            expected = self._decided(decisions)
            if not self._is_same(expected, rewritten):
                self.rewrites = False
                return expected
        return rewritten

    def _is_same(self, expected: Model, rewritten: Model) -> bool:
        """Tell whether a rewrite is what construction and trace give.

        Settings tell the definitions of a class apart by names for the source, and in an open model there are more of
        them. They may differ as long as every model of the space comes from a rewrite, so that none has both.
        """
        if expected.key == rewritten.key:
            return True
        return self._all_structural and without_settings(expected.root).key == without_settings(rewritten.root).key

    def _decided(self, decisions: Mapping[str, Decision]) -> Model:
        return verified(self._trace(decisions, ("structure", "value")))

    def _super(self, decisions: Mapping[str, Decision], values: Mapping[str, Decision]) -> _Super | None:
        """Return the open model of values; None where nothing is to be rewritten, or values come for the first time.

        An open model takes longer to trace than a decided one, so it must be of use more than once.
        """
        if not self.rewrites:
            return None
        key = str(values)
        found = self._supers.get(key)
        if found is None and (self._all_structural or key in self._seen):
            try:
                traced = self._trace(decisions, ("value",))
                found = _Super(OpenModel(traced.root), traced.report)
            except GraphNASError:  # a candidate that is not chosen may not fit the others
                self.rewrites = False
                return None
            self._supers.put(key, found)
        self._seen.put(key, True)
        return found
