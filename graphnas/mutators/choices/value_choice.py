"""A value to be decided, as an argument of a module's constructor or read in `forward`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from graphnas.errors import DecisionError
from graphnas.mutators.choices.choice import as_decision, check_prior, choose_label
from graphnas.mutators.choices.decided import mark_decided
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.domain import Categorical


class ValueChoice:
    """One of several plain values: `nn.Conv2d(3, ValueChoice([16, 32], label="width"), 3)`.

    Constructors of `torch.nn` and of `@basic_unit` classes see through it while the model is recorded, and take the
    first candidate. In `forward` it is read by a call, `self.rate()`.

    Under `fixed_arch`, `ValueChoice(...)` returns the decided value itself, so ordinary Python works with it. It is an
    `int`, `float`, `str` or `tuple` that can also be called, so that `self.rate()` goes on working (see `decided`).
    Outside, Python cannot compute with what is not decided yet, and refuses.

    Args:
        candidates: None, bool, int, finite float, str, or tuples and lists of these, each once. Decisions spell tuples
            as lists, since they are JSON.
        prior: Probabilities of the candidates, kept for strategies.
        label: Choices of one label are one choice. Numbered within the model if it is not given.

    Raises:
        DecisionError: Candidates, prior or label are not valid, or (under `fixed_arch`) the decision is not.
    """

    candidates: tuple[Any, ...]
    prior: tuple[float, ...] | None
    domain: Categorical

    def __new__(
        cls, candidates: Sequence[Any], *, prior: Sequence[float] | None = None, label: str | None = None
    ) -> Any:
        name = choose_label(label, "ValueChoice")
        choice = super().__new__(cls)
        choice.candidates = tuple(candidates)
        choice.domain = Categorical(name, tuple(as_decision(candidate, name) for candidate in choice.candidates))
        choice.prior = check_prior(prior, len(choice.candidates), name)
        decided, _ = declare_and_decide(choice.domain, "value")
        return mark_decided(choice.__graphnas_resolve__(), choice.candidates) if decided else choice

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy must not be constructed anew: under `fixed_arch` that would be the decided value.
        return _restore, (type(self), self.__dict__)

    @property
    def label(self) -> str:
        """The label of the decision."""
        return self.domain.label

    def __graphnas_resolve__(self) -> Any:
        """Return the candidate to construct with: the decided one, or the first while the choice is open."""
        _, decision = declare_and_decide(self.domain, "value")
        return self.candidates[self.domain.index(decision)]

    def __call__(self) -> Any:
        """Return the value, in `forward`."""
        if None in self.candidates:
            raise DecisionError(
                f"ValueChoice {self.label!r} has None among its candidates, which cannot be called once it is decided; "
                "use another candidate, such as 0 or '', for it",
                label=self.label,
            )
        return self.__graphnas_resolve__()

    def __repr__(self) -> str:
        return f"ValueChoice({list(self.candidates)!r}, label={self.label!r})"


def _restore(kind: type[ValueChoice], state: dict[str, Any]) -> ValueChoice:
    choice = object.__new__(kind)
    choice.__dict__.update(state)
    return choice


def _refusal(what: str) -> Any:
    def refuse(self: ValueChoice, *_: Any) -> NoReturn:
        raise DecisionError(
            f"{self!r} is not decided yet, so Python cannot use it in {what}. Pass it as it is to the constructor of a "
            "torch.nn module or @basic_unit class; read its value in forward by calling it; make what is computed from "
            "it the candidates of a ValueChoice; or construct under `fixed_arch`, where it is the plain value",
            label=self.label,
        )

    return refuse


_REFUSED = {
    "a condition": ("bool",),
    "int(), range() or an index": ("int", "index", "trunc", "round", "floor", "ceil"),
    "float()": ("float",),
    "a formatted text": ("format",),
    "a comparison": ("eq", "ne", "lt", "le", "gt", "ge"),
    "iteration": ("iter", "len", "contains", "getitem"),
    "arithmetic": (
        *(side + name for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow") for side in ("", "r")),
        *("neg", "pos", "abs", "divmod"),
    ),
}
for _what, _names in _REFUSED.items():
    for _name in _names:
        setattr(ValueChoice, f"__{_name}__", _refusal(_what))
