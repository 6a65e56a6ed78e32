"""A value to be decided, as an argument of a module's constructor or read in `forward`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from graphnas.errors import DecisionError
from graphnas.ir.context import ContextStack, ModelNamespace
from graphnas.ir.record import watch_constructors
from graphnas.mutators.choices.choice import as_decision, check_prior, choose_label
from graphnas.mutators.choices.decided import applied, mark_decided
from graphnas.mutators.choices.expression import Expression, walk
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.choices.numbers import Numbers
from graphnas.mutators.choices.when import When, condition_of
from graphnas.mutators.condition import Condition
from graphnas.mutators.domain import Categorical, Domain


class ValueChoice(Expression):
    """One of several plain values: `nn.Conv2d(3, ValueChoice([16, 32], label="width"), 3)`.

    Constructors of `torch.nn` and of `@basic_unit` classes see through it while the model is recorded, and take the
    first candidate. In `forward` it is read by a call, `self.rate()`. Operators work, in either order of operands, and
    give an expression that may stand wherever the choice may: `width * 2`, `ValueChoice.max(width, 32)`.

    Under `fixed_arch`, `ValueChoice(...)` returns the decided value itself, so ordinary Python works with it. It is an
    `int`, `float`, `str` or `tuple` that can also be called, so that `self.rate()` goes on working (see `decided`).
    Outside, Python cannot branch on what is not decided yet, and refuses; a `ModelParameterChoice` can be used there.

    Args:
        candidates: None, bool, int, finite float, str, or tuples and lists of these, each once. Decisions spell tuples
            as lists, since they are JSON. Or a range of numbers: `int_range`, `uniform`, `loguniform`.
        prior: Probabilities of the candidates, kept for strategies.
        label: Choices of one label are one choice. Numbered within the model if it is not given; outside of any model,
            an evaluator that the choice is given to names it after its argument.
        when: When the choice comes up: an expression of choices, or values by label. Else it is the first candidate.

    Raises:
        DecisionError: Candidates, prior, label or condition are not valid, or (under `fixed_arch`) the decision is not.
    """

    prior: tuple[float, ...] | None
    _domain: Domain
    _unnamed: dict[str, Any] | None
    _condition: Condition | None
    _candidates: tuple[Any, ...] | None

    def __new__(
        cls,
        candidates: Sequence[Any] | Numbers,
        *,
        prior: Sequence[float] | None = None,
        label: str | None = None,
        when: When | None = None,
    ) -> Any:
        watch_constructors()
        choice = super().__new__(cls)
        if label is None and ContextStack.get(ModelNamespace.KEY) is None:
            choice._unnamed = {"candidates": candidates, "prior": prior, "when": when}
            return choice
        name = choose_label(label, "ValueChoice")
        choice._unnamed = None
        choice._candidates, choice._domain = listed_candidates(candidates, name)
        choice.prior = check_prior(prior, choice.domain.size, name)
        choice._condition = condition_of(when, name)
        decided, decision = declare_and_decide(choice.domain, "value", choice._condition)
        return mark_decided(choice.candidate_of(decision), choice) if decided else choice

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy must not be constructed anew: under `fixed_arch` that would be the decided value.
        return _restore, (type(self), self.__dict__)

    @property
    def domain(self) -> Domain:
        """What can be decided.

        Raises:
            NoContextError: It has no label yet.
        """
        if self._unnamed is not None:
            ModelNamespace.current_context()
            raise DecisionError(
                f"{self!r} was made without a label, outside of the model that it is used in; give it one: label='...'"
            )
        return self._domain

    @property
    def label(self) -> str:
        """The label of the decision."""
        return self.domain.label

    @property
    def when(self) -> Condition | None:
        """When it comes up, None for always."""
        return self._condition

    @property
    def candidates(self) -> tuple[Any, ...]:
        """The candidates.

        Raises:
            DecisionError: There are infinitely many.
        """
        if self._candidates is not None:
            return self._candidates
        if self.domain.size is None:
            raise DecisionError(
                f"{self!r}: {self.domain.describe()} cannot be listed; use int_range or a list where all values must "
                "be known, as for the depth of a Repeat",
                label=self.label,
            )
        return tuple(self.domain.grid(self.domain.size))

    @property
    def default(self) -> Any:
        """The candidate that is taken while the choice is open."""
        return self.candidate_of(self.domain.default)

    @property
    def has_none(self) -> bool:
        """Whether None is a candidate."""
        return self._unnamed is None and self._candidates is not None and None in self._candidates

    def candidate_of(self, value: Any) -> Any:
        """Return the candidate that `value`, a candidate or a decision, stands for.

        Raises:
            DecisionError: It stands for none.
        """
        decision = as_decision(value, self.label)
        if self._candidates is None:
            return self.domain.normalize(decision)
        return self._candidates[self.domain.index(decision)]

    def __graphnas_resolve__(self) -> Any:
        """Return the candidate to construct with: the decided one, or the first while the choice is open."""
        _, decision = declare_and_decide(self.domain, "value", self._condition)
        return self.candidate_of(decision)

    def inner_choices(self) -> tuple[Any, ...]:
        return (self,)

    def format(self, text_of: Callable[[Any], str]) -> str:
        return text_of(self)

    def _compute(self, values: Mapping[str, Any]) -> Any:
        return values[self.label]

    def _options(self, chosen: Mapping[str, Any]) -> list[Any]:
        return [chosen[self.label]] if self.label in chosen else list(self.candidates)

    # Functions on choices. Plain values fall through: the result is plain as well.

    @staticmethod
    def to_int(value: Any) -> Any:
        """Return `int(value)`, of an expression too."""
        return applied("to_int", value)

    @staticmethod
    def to_float(value: Any) -> Any:
        """Return `float(value)`, of an expression too."""
        return applied("to_float", value)

    @staticmethod
    def condition(pred: Any, true: Any, false: Any) -> Any:
        """Return `true if pred else false`, of expressions too."""
        return applied("condition", true, pred, false)

    @staticmethod
    def max(*values: Any) -> Any:
        """Return the greatest of several values, or of the items of one list, of expressions too."""
        return applied("max", *_several(values))

    @staticmethod
    def min(*values: Any) -> Any:
        """Return the least of several values, or of the items of one list, of expressions too."""
        return applied("min", *_several(values))

    def __repr__(self) -> str:
        if self._unnamed is not None:
            return f"ValueChoice({self._unnamed['candidates']!r})"
        given = self.domain.describe() if self._candidates is None else repr(list(self._candidates))
        return f"ValueChoice({given}, label={self.label!r})"


def named(value: Any, label: str) -> Any:
    """Return an argument with that label for a choice that has none."""
    if isinstance(value, ValueChoice) and value._unnamed is not None:
        return ValueChoice(label=label, **value._unnamed)
    return value


def inner_choices(value: Any) -> tuple[ValueChoice, ...]:
    """Return the choices in an argument: in expressions, tuples, lists and dictionaries, at any depth."""
    return tuple(choice for expression in walk(value) for choice in expression.inner_choices())


def evaluated(value: Any, values: Mapping[str, Any]) -> Any:
    """Return an argument with every expression in it replaced by its value, given a value for each label."""
    if isinstance(value, Expression):
        return value.evaluate({label: values[label] for label in value.labels})
    if type(value) in (tuple, list):
        return type(value)(evaluated(item, values) for item in value)
    return {name: evaluated(item, values) for name, item in value.items()} if type(value) is dict else value


def listed_candidates(candidates: Any, label: str) -> tuple[tuple[Any, ...] | None, Domain]:
    """Return the candidates of a choice among values, None if they are a range of numbers, and their domain.

    Raises:
        DecisionError: They are no candidates.
    """
    if isinstance(candidates, Numbers):
        return None, candidates.domain(label)
    if isinstance(candidates, (str, Mapping)) or not isinstance(candidates, Iterable):
        raise DecisionError(
            f"choice {label!r}: candidates must be a list of values, or int_range, uniform or loguniform, got "
            f"{candidates!r:.100}",
            label=label,
        )
    listed = tuple(candidates)
    return listed, Categorical(label, tuple(as_decision(candidate, label) for candidate in listed))


def _restore(kind: type[ValueChoice], state: dict[str, Any]) -> ValueChoice:
    choice = object.__new__(kind)
    choice.__dict__.update(state)
    return choice


def _several(values: tuple[Any, ...]) -> tuple[Any, ...]:
    found = tuple(values[0]) if len(values) == 1 and not isinstance(values[0], (Expression, int, float)) else values
    if not found:
        raise DecisionError("ValueChoice.max and min: expected at least one value, got none")
    return found
