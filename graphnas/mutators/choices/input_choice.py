"""Several of the inputs that a place could have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from graphnas.errors import DecisionError
from graphnas.mutators.choices.choice import check_prior, choose_label
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.choices.mutable import Mutable, require_decisions
from graphnas.mutators.choices.when import When, condition_of
from graphnas.mutators.domain import Categorical, Decision, Domain
from graphnas.mutators.subset import Subset

Reduction: TypeAlias = Literal["sum", "mean", "concat", "none"] | Callable[[list[Any]], Any]
"""What becomes of the chosen inputs: sum, mean, one tensor along dimension 1, their list, or a function of the list."""


class InputChoice(Mutable):
    """One or several of its inputs: `InputChoice(3, label="skip")`, called with the list `[a, b, c]` in `forward`.

    A decision is the place of the input where one is chosen, else a list of places, each once. While the choice is open
    the first inputs are chosen. Under `fixed_arch`, `InputChoice(...)` returns a `ChosenInputs`.

    Args:
        n_candidates: Number of inputs; or their names, which decisions use then in place of numbers. With names,
            `forward` takes a dictionary as well.
        n_chosen: How many are chosen: a number, or a pair of least and greatest number. None is any number from 1.
        reduction: What becomes of them; see `Reduction`. One chosen input alone is passed on as it is.
        prior: Probabilities of the inputs, kept for strategies.
        label: Choices of one label are one choice. Numbered within the model if it is not given.
        when: When the choice comes up: an expression of choices, or values by label. Else the first inputs are chosen.

    Raises:
        DecisionError: An argument is not valid, or (under `fixed_arch`) the decision is not.
    """

    def __init__(
        self,
        n_candidates: int | Sequence[str],
        n_chosen: int | tuple[int, int] | None = 1,
        reduction: Reduction = "sum",
        *,
        prior: Sequence[float] | None = None,
        label: str | None = None,
        when: When | None = None,
    ) -> None:
        super().__init__()
        self._domain, self.names, _ = _declared(n_candidates, n_chosen, prior, label, when)
        self.n_candidates = len(self.names)
        self.n_chosen = n_chosen
        self.prior = check_prior(prior, self.n_candidates, self.label)
        self.reduction = checked_reduction(reduction)

    @classmethod
    def create_fixed_module(
        cls,
        n_candidates: int | Sequence[str],
        n_chosen: int | tuple[int, int] | None = 1,
        reduction: Reduction = "sum",
        *,
        prior: Sequence[float] | None = None,
        label: str | None = None,
        when: When | None = None,
    ) -> ChosenInputs:
        require_decisions("value")
        _, names, decision = _declared(n_candidates, n_chosen, prior, label, when)
        return ChosenInputs(decision, reduction, names=names if isinstance(n_candidates, Sequence) else None)

    @property
    def label(self) -> str:
        """The label of the decision."""
        return self._domain.label

    def forward(self, *inputs: Any) -> Any:
        """Return the first inputs, reduced. Give one list, or the inputs one by one."""
        names = None if self.names and isinstance(self.names[0], int) else self.names
        return _reduced(_selected(inputs, self._domain.default, names), self.reduction)

    def extra_repr(self) -> str:
        """Return what is chosen and the label, for `repr`."""
        return f"{self._domain.describe()}, label={self.label!r}"


class ChosenInputs(nn.Module):
    """What an `InputChoice` is once it is decided.

    Args:
        chosen: Places of the chosen inputs, or their names.
        reduction: What becomes of them; see `Reduction`. Without any it is None, for `none` an empty list.
        names: Names of all inputs in order, where `chosen` has names and `forward` is given a list.
    """

    def __init__(
        self,
        chosen: int | str | Sequence[int | str],
        reduction: Reduction = "sum",
        *,
        names: Sequence[Any] | None = None,
    ) -> None:
        super().__init__()
        self.chosen: list[Any] = [chosen] if isinstance(chosen, (int, str)) else list(chosen)
        self.reduction = checked_reduction(reduction)
        self.names = None if names is None else tuple(names)

    def forward(self, *inputs: Any) -> Any:
        """Return the chosen inputs, reduced. Give one list, or the inputs one by one."""
        return _reduced(_selected(inputs, self.chosen, self.names), self.reduction)

    def extra_repr(self) -> str:
        """Return what is chosen, for `repr`."""
        return f"{self.chosen}, {getattr(self.reduction, '__name__', repr(self.reduction))}"


def checked_reduction(reduction: Any) -> Reduction:
    """Return `reduction`.

    Raises:
        DecisionError: There is no such reduction.
    """
    if reduction in ("sum", "mean", "concat", "none") or callable(reduction):
        found: Reduction = reduction
        return found
    raise DecisionError(
        "reduction must be 'sum', 'mean', 'concat', 'none' or a function of the list of chosen inputs, got "
        f"{reduction!r}"
    )


def _declared(
    n_candidates: Any, n_chosen: Any, prior: Any, label: str | None, when: When | None
) -> tuple[Domain, tuple[Any, ...], Decision]:
    """Declare a choice; return its domain, the names of the inputs, and the decision or default."""
    name = choose_label(label, "InputChoice")
    if isinstance(n_candidates, int) and not isinstance(n_candidates, bool) and n_candidates > 0:
        names: tuple[Any, ...] = tuple(range(n_candidates))
    elif isinstance(n_candidates, Sequence) and n_candidates and all(isinstance(item, str) for item in n_candidates):
        names = tuple(n_candidates)
    else:
        raise DecisionError(
            f"InputChoice {name!r}: n_candidates must be a number from 1 or a list of names, got {n_candidates!r:.99}",
            label=name,
        )
    check_prior(prior, len(names), name)
    domain: Domain = Categorical(name, names) if n_chosen == 1 else Subset(name, names, n_chosen)
    _, decision = declare_and_decide(domain, "value", condition_of(when, name))
    return domain, names, decision


def _selected(inputs: tuple[Any, ...], chosen: Any, names: tuple[Any, ...] | None) -> list[Any]:
    given: Any = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], (list, tuple, Mapping)) else inputs
    keys = chosen if isinstance(chosen, list) else [chosen]
    if names is not None and not isinstance(given, Mapping):
        given = dict(zip(names, given, strict=True))
    try:
        return [given[key] for key in keys]
    except LookupError as error:
        raise DecisionError(f"inputs {keys} were chosen, but there are {len(given)} inputs in this call") from error


def _reduced(values: list[Any], reduction: Reduction) -> Any:
    if callable(reduction):
        return reduction(values)
    if reduction == "none":
        return values
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    first = values[0]
    if isinstance(first, Mapping):
        return {key: _reduced([value[key] for value in values], reduction) for key in first}
    if isinstance(first, (tuple, list)):
        return type(first)(_reduced(list(items), reduction) for items in zip(*values, strict=True))
    if reduction == "concat":
        return torch.cat(values, 1)
    total = first
    for value in values[1:]:
        total = total + value
    return total / len(values) if reduction == "mean" else total
