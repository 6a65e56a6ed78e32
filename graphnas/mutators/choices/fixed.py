"""Constructing a model under decisions that are made.

While a `Fixation` is in force, choices turn into what was decided as they are constructed, so the model holds no trace
of them: its `state_dict` is that of the chosen modules under the names of the choices.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from graphnas.errors import DecisionError
from graphnas.ir.context import ContextStack
from graphnas.mutators.choices.choice import Nature, declare
from graphnas.mutators.condition import Condition, checked_condition, inactive_label, is_active
from graphnas.mutators.domain import MUTATOR_MARK, Decision, Decisions, Domain, missing_label, unknown_label

_FIXED = "fixed"
_log = logging.getLogger(__name__)


class Fixation(Mapping[str, Decision]):
    """Decisions in force during a construction; a mapping of label to value.

    Attributes:
        decisions: Label to value, in any spelling that the domains accept.
        natures: Which choices are decided; the others stay open.
    """

    def __init__(self, decisions: Mapping[str, Decision], natures: tuple[Nature, ...] = ("structure", "value")) -> None:
        self.decisions = {label: value for label, value in decisions.items() if not label.startswith(MUTATOR_MARK)}
        self.natures = natures
        self._asked: dict[str, Domain] = {}
        self._made: Decisions = {}
        self._conditions: dict[str, Condition] = {}

    def decide(self, domain: Domain, condition: Condition | None = None) -> Decision:
        """Return the decision for a choice, as its domain spells it; of one that is inactive, the default.

        Raises:
            DecisionError: The label is missing, the value lies outside the domain, or there is a value for a choice
                that is inactive.
        """
        if condition is not None:
            self._conditions[domain.label] = condition
            if not self._holds(condition):
                if domain.label in self.decisions:
                    raise inactive_label(domain.label, condition)
                self._asked[domain.label] = domain
                return domain.default
        self._asked[domain.label] = domain
        if domain.label not in self.decisions:
            raise missing_label(domain, tuple(self.decisions))
        self._made[domain.label] = domain.normalize(self.decisions[domain.label])
        return self._made[domain.label]

    @property
    def decides_all(self) -> bool:
        """Whether no choice stays open."""
        return len(self.natures) == 2

    def __getitem__(self, label: str) -> Decision:
        return self.decisions[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.decisions)

    def __len__(self) -> int:
        return len(self.decisions)

    def check_all_used(self) -> None:
        """Raise `DecisionError` if there is a decision, or a condition reads one, that no choice asked for."""
        for label in self.decisions:
            if label not in self._asked:
                raise unknown_label(label, tuple(self._asked))
        for label, condition in self._conditions.items():
            checked_condition(label, condition, self._asked)

    def _holds(self, condition: Condition) -> bool:
        """Tell whether a choice comes up; what its condition reads may not have been constructed yet.

        Of that only what was given is known, which may be the number of a candidate instead of its name.
        """
        named = {label: str(value) for label, value in self.decisions.items() if type(value) is int}
        asked = {label: domain for label, domain in self._asked.items() if label in condition.labels}
        if len(asked) == len(condition.labels):
            return is_active(checked_condition("", condition, asked), self._made)
        return any(is_active(condition, {**given, **self._made}) for given in (self.decisions, self.decisions | named))


@contextmanager
def fixed_arch(decisions: Mapping[str, Decision] | str | os.PathLike[str], verbose: bool = True) -> Iterator[Decisions]:
    """Construct models as decided, in a block: `net = Net()`.

    A `LayerChoice` is then the chosen module itself, a `Repeat` an `nn.Sequential` of the decided depth, and a
    `ValueChoice` the plain value. A missing label and a value outside its domain are refused where the choice is
    constructed. A label that no choice asked for can only be known when everything is constructed: it is refused at the
    end of the block, so several models in one block may share one set of decisions. Labels that a mutator's choices
    have (they begin with `@`) are passed over.

    Args:
        decisions: Label to value, or the path of a JSON file that holds it, as `export_top_models` with formatter
            `dict` writes it.
        verbose: Log the decisions, level INFO.

    Yields:
        The decisions.

    Raises:
        DecisionError: The decisions do not fit the choices, or the file holds no JSON object.
        FileNotFoundError: There is no such file.
    """
    given = _read(decisions)
    if verbose:
        _log.info("fixed architecture: %s", given)
    fixation = Fixation(given)
    with ContextStack(_FIXED, fixation):
        yield given
    fixation.check_all_used()


@contextmanager
def in_force(fixation: Fixation | None) -> Iterator[None]:
    """Put a fixation in force for a block; None opens all choices, whatever is in force around it."""
    with ContextStack(_FIXED, fixation):
        yield


def fixation_of(nature: Nature) -> Fixation | None:
    """Return the fixation that decides choices of that nature, None where they are open."""
    fixation = ContextStack.get(_FIXED)
    if fixation is not None and not isinstance(fixation, Fixation):
        fixation = Fixation(fixation)  # a plain mapping, put on the stack by hand
    return fixation if fixation is not None and nature in fixation.natures else None


def declare_and_decide(domain: Domain, nature: Nature, condition: Condition | None = None) -> tuple[bool, Decision]:
    """Declare a choice; return whether it is decided, and the decision, which is the default of an open one.

    Raises:
        DecisionError: The label is taken by other candidates or another condition, or its decision is missing or not
            allowed.
    """
    declare(domain, nature, condition)
    fixation = fixation_of(nature)
    return (True, fixation.decide(domain, condition)) if fixation is not None else (False, domain.default)


def _read(decisions: Mapping[str, Decision] | str | os.PathLike[str]) -> Decisions:
    if isinstance(decisions, Mapping):
        found: object = dict(decisions)
        source = "decisions"
    else:
        source = os.fspath(decisions)
        try:
            found = json.loads(Path(decisions).read_text(encoding="utf-8"))
        except ValueError as error:
            raise DecisionError(f"{source}: this is no JSON file: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(label, str) for label in found):
        raise DecisionError(f"{source}: expected an object of labels and values, got {found!r:.100}")
    return found
