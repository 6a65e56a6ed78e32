"""One of several modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.protocols import Expansion
from graphnas.mutators.choices.choice import check_prior, choose_label
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.choices.mutable import Mutable, require_decisions
from graphnas.mutators.choices.when import When, condition_of
from graphnas.mutators.condition import Condition
from graphnas.mutators.domain import Categorical, Decision

Candidates = Sequence[nn.Module] | Mapping[str, nn.Module]


class LayerChoice(Mutable):
    """One of several modules: `LayerChoice([nn.MaxPool2d(2), nn.AvgPool2d(2)], label="pool")`.

    A decision is the name of a candidate: its key in a dictionary, `'0'`, `'1'`, … in a list (the numbers are accepted
    too). While the choice is open it holds every candidate under its name and runs the first one. Under `fixed_arch`,
    `LayerChoice(...)` returns the chosen module itself. Candidates may hold choices themselves.

    Args:
        candidates: The modules.
        prior: Probabilities of the candidates, kept for strategies.
        label: Choices of one label are one choice. Numbered within the model if it is not given.
        when: When the choice comes up: an expression of choices, or values by label. Else it is the first candidate.

    Raises:
        DecisionError: Candidates, prior, label or condition are not valid, or (under `fixed_arch`) the decision is not.
    """

    def __init__(
        self,
        candidates: Candidates,
        *,
        prior: Sequence[float] | None = None,
        label: str | None = None,
        when: When | None = None,
    ) -> None:
        super().__init__()
        modules, self._domain, self._prior, self._condition, _ = _declared(candidates, prior, label, when)
        for name, module in modules.items():
            try:
                self.add_module(name, module)
            except KeyError as error:
                message = (
                    f"LayerChoice {self.label!r}: a candidate cannot be named {name!r}: {error.args[0]}; rename it"
                )
                raise DecisionError(message, label=self.label) from error

    @classmethod
    def create_fixed_module(
        cls,
        candidates: Candidates,
        *,
        prior: Sequence[float] | None = None,
        label: str | None = None,
        when: When | None = None,
    ) -> Any:
        require_decisions("structure")
        modules, _, _, _, decision = _declared(candidates, prior, label, when)
        return modules[decision]

    @property
    def label(self) -> str:
        """The label of the decision."""
        return self._domain.label

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the candidates, in order."""
        return tuple(self._domain.values)

    @property
    def prior(self) -> tuple[float, ...] | None:
        """Probabilities of the candidates, None if none were given."""
        return self._prior

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the first candidate."""
        return self[0](*args, **kwargs)

    def __graphnas_expand__(self) -> Expansion:
        """Return how an open choice is traced: every candidate with the same inputs."""
        return Expansion("choice", self.label, {name: self[name] for name in self.names})

    def __getitem__(self, key: int | str) -> nn.Module:
        """Return a candidate by its place or name; negative places count from the end, as in a list."""
        name = self.names[key] if isinstance(key, int) else key
        if name not in self.names:
            raise KeyError(f"LayerChoice {self.label!r} has no candidate {key!r}; there are {', '.join(self.names)}")
        module = self._modules[name]
        assert module is not None
        return module

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[nn.Module]:
        return (self[name] for name in self.names)

    def extra_repr(self) -> str:
        """Return the label, for `repr`."""
        return f"label={self.label!r}"


def _declared(
    candidates: Any, prior: Any, label: str | None, when: When | None
) -> tuple[dict[str, nn.Module], Categorical, tuple[float, ...] | None, Condition | None, Decision]:
    """Declare a choice; return its candidates, domain, prior and condition, and the decision or default."""
    name = choose_label(label, "LayerChoice")
    modules = _named(candidates, name)
    probabilities = check_prior(prior, len(modules), name)
    domain, condition = Categorical(name, tuple(modules)), condition_of(when, name)
    _, decision = declare_and_decide(domain, "structure", condition)
    return modules, domain, probabilities, condition, decision


def _named(candidates: Any, label: str) -> dict[str, nn.Module]:
    if isinstance(candidates, (Mapping, nn.ModuleDict)):
        named = dict(candidates.items())
    elif isinstance(candidates, (Sequence, nn.ModuleList)):
        named = {str(index): module for index, module in enumerate(candidates)}
    else:
        raise DecisionError(
            f"LayerChoice {label!r}: candidates must be a list or a dictionary of modules, got {candidates!r:.100}",
            label=label,
        )
    for name, module in named.items():
        if not isinstance(name, str) or not name or "." in name:
            raise DecisionError(
                f"LayerChoice {label!r}: a candidate's name must be a non-empty text without dots, got {name!r}",
                label=label,
            )
        check_candidate(module, name, label)
    return named


def check_candidate(module: Any, name: str, label: str) -> None:
    """Raise `DecisionError` if a candidate is no module."""
    if not isinstance(module, nn.Module):
        raise DecisionError(
            f"LayerChoice {label!r}: candidate {name!r} must be a torch.nn.Module, got {module!r:.100}; "
            "use ValueChoice to choose among values",
            label=label,
        )
