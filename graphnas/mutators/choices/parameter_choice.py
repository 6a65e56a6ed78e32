"""A value to be decided that ordinary Python computes with while the model is constructed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

from graphnas.errors import DecisionError
from graphnas.ir.context import ModelNamespace
from graphnas.mutators.choices.choice import check_prior, choose_label
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.choices.numbers import Numbers
from graphnas.mutators.choices.value_choice import listed_candidates
from graphnas.mutators.choices.when import When, condition_of
from graphnas.mutators.domain import Categorical, exact


class _Place(enum.Enum):
    FIRST = "first"
    LAST = "last"


Default: TypeAlias = _Place | Callable[[tuple[Any, ...]], Any] | Any
"""`FIRST`, `LAST`, a candidate, or a function of the candidates that returns one."""


class ModelParameterChoice:
    """One of several values, at once as a plain one: `width = ModelParameterChoice([16, 32], label="width")`.

    Calling the class returns the value itself, so that `if width > 16:` and `range(depth)` work: the default while the
    choice is open, the decided one under `fixed_arch`. It works only while a model is constructed, since it is a new
    construction of the model that gives it another value.

    Args:
        candidates: None, bool, int, finite float, str, or tuples and lists of these, each once; or a range of numbers.
        prior: Probabilities of the candidates, kept for strategies.
        default: The value of an open choice; see `Default`. It becomes the first candidate of the domain.
        label: Choices of one label are one choice. Numbered within the model if it is not given.
        when: When the choice comes up: an expression of choices, or values by label. Else it is the default.

    Raises:
        NoContextError: No model is being constructed under `model_wrapper` or `recording`.
        DecisionError: An argument is not valid, or (under `fixed_arch`) the decision is not.
    """

    FIRST: ClassVar[_Place] = _Place.FIRST
    LAST: ClassVar[_Place] = _Place.LAST

    def __new__(
        cls,
        candidates: Sequence[Any] | Numbers,
        *,
        prior: Sequence[float] | None = None,
        default: Default = _Place.FIRST,
        label: str | None = None,
        when: When | None = None,
    ) -> Any:
        ModelNamespace.current_context()
        name = choose_label(label, "ModelParameterChoice")
        listed, domain = listed_candidates(candidates, name)
        check_prior(prior, domain.size, name)
        if listed is not None:
            listed, domain = _from_default(listed, domain.values, default, name)  # type: ignore[attr-defined]  # finite
        elif default is not _Place.FIRST:
            raise DecisionError(
                f"ModelParameterChoice {name!r}: the default of a range of numbers is its least one; for another, give "
                "a list of candidates",
                label=name,
            )
        _, decision = declare_and_decide(domain, "value", condition_of(when, name))
        return decision if listed is None else listed[domain.index(decision)]


def _from_default(
    listed: tuple[Any, ...], values: tuple[Any, ...], default: Any, label: str
) -> tuple[tuple[Any, ...], Categorical]:
    """Return candidates and domain with the default in the first place, which is where domains have it."""
    if isinstance(default, _Place):
        place = 0 if default is _Place.FIRST else len(listed) - 1
    else:
        value = default(listed) if callable(default) else default
        places = [index for index, item in enumerate(listed) if exact(item) == exact(value)]
        if not places:
            raise DecisionError(
                f"ModelParameterChoice {label!r}: the default {value!r:.99} is not among the candidates {list(listed)}",
                label=label,
                allowed=listed,
            )
        place = places[0]
    order = (place, *(index for index in range(len(listed)) if index != place))
    return tuple(listed[index] for index in order), Categorical(label, tuple(values[index] for index in order))
