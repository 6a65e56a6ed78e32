"""One of several modules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.protocols import Expansion
from graphnas.mutators.choices.choice import check_prior, choose_label
from graphnas.mutators.choices.edits import Edit, Key, check_not_constructing, edited, next_key
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.choices.mutable import Mutable, require_decisions
from graphnas.mutators.choices.origin import mark_candidate
from graphnas.mutators.choices.when import When, condition_of
from graphnas.mutators.domain import Categorical, Decision

Candidates = Sequence[nn.Module] | Mapping[str, nn.Module]


class LayerChoice(Mutable):
    """One of several modules: `LayerChoice([nn.MaxPool2d(2), nn.AvgPool2d(2)], label="pool")`.

    A decision is the name of a candidate: its key in a dictionary, `'0'`, `'1'`, … in a list (the numbers are accepted
    too). While the choice is open it holds every candidate under its name and runs the first one. Under `fixed_arch`,
    `LayerChoice(...)` returns the chosen module itself. Candidates may hold choices themselves.

    Once the open model is constructed, candidates can be replaced and removed: `net.op[0] = nn.GELU()`,
    `del net.op[1:]`. A space made of the model then has the candidates that are left.

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
        declared = _Declared.of(candidates, prior, label, when)
        self._domain, self._prior, self._key = declared.domain, declared.prior, declared.key
        self._replaced: dict[str, nn.Module] | None = None
        for name, module in declared.modules.items():
            try:
                self.add_module(name, module)
            except KeyError as error:
                raise DecisionError(
                    f"LayerChoice {self.label!r}: a candidate cannot be named {name!r}: {error.args[0]}; rename it",
                    label=self.label,
                ) from error

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
        declared = _Declared.of(candidates, prior, label, when)
        chosen = declared.modules[declared.decision]
        mark_candidate(chosen, declared.domain.label, declared.decision)
        return chosen

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

    def __getitem__(self, key: int | str | slice) -> Any:
        """Return a candidate by its place or name, a list of them for a slice; places count as in a list."""
        if isinstance(key, slice):
            return [self._modules[name] for name in self.names[key]]
        return self._modules[self._name(key)]

    def __setitem__(self, key: int | str | slice, module: Any) -> None:
        """Put another module in the place of a candidate, or a list of as many in that of a slice.

        Raises:
            DecisionError: It is no module, or the model is still being constructed.
            LookupError: There is no such candidate.
        """
        check_not_constructing(self.label)
        names = self.names[key] if isinstance(key, slice) else (self._name(key),)
        modules = list(module) if isinstance(key, slice) else [module]
        if len(modules) != len(names):
            raise DecisionError(
                f"LayerChoice {self.label!r}: {len(names)} candidates ({', '.join(names)}) cannot be replaced by "
                f"{len(modules)} modules; give as many, or delete candidates",
                label=self.label,
            )
        for name, item in zip(names, modules, strict=True):
            check_candidate(item, name, self.label)
        self._replaced = {**(self._replaced or {}), **dict(zip(names, modules, strict=True))}
        self._modules.update(zip(names, modules, strict=True))

    def __delitem__(self, key: int | str | slice) -> None:
        """Remove a candidate, or those of a slice; the others keep their names, and share its probability.

        Raises:
            DecisionError: None would be left, or only such of probability 0, or the model is still being constructed.
            LookupError: There is no such candidate.
        """
        check_not_constructing(self.label)
        gone = self.names[key] if isinstance(key, slice) else (self._name(key),)
        left = tuple(name for name in self.names if name not in gone)
        prior = None
        if self._prior is not None:
            kept = [p for name, p in zip(self.names, self._prior, strict=True) if name in left]
            total = math.fsum(kept)
            if left and total == 0:
                raise DecisionError(
                    f"LayerChoice {self.label!r}: without {', '.join(gone)} only candidates of probability 0 are left; "
                    "construct it with another prior",
                    label=self.label,
                )
            prior = tuple(p / total for p in kept)
        self._domain, self._prior = Categorical(self.label, left), prior
        self._replaced = {name: module for name, module in (self._replaced or {}).items() if name in left}
        for name in gone:
            del self._modules[name]

    @property
    def edit(self) -> tuple[Key | None, Edit] | None:
        """What was changed since it was constructed, with the key of this choice; None if nothing was."""
        if self._replaced is None:
            return None
        return self._key, Edit(tuple((name, self._replaced.get(name)) for name in self.names), self._prior)

    def _name(self, key: int | str) -> str:
        name = self.names[key] if isinstance(key, int) else key
        if name not in self.names:
            raise KeyError(f"LayerChoice {self.label!r} has no candidate {key!r}; there are {', '.join(self.names)}")
        return name

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[nn.Module]:
        return (self[name] for name in self.names)

    def extra_repr(self) -> str:
        """Return the label, for `repr`."""
        return f"label={self.label!r}"


def edits_of(root: nn.Module) -> dict[Key, Edit]:
    """Return the edits that were made on the choices of an open model.

    Raises:
        DecisionError: Copies of one choice, as in a `Repeat`, were edited differently, or a choice that was not
            constructed with the model was edited.
    """
    states: dict[Key | None, list[Edit | None]] = {}
    for module in root.modules():
        if isinstance(module, LayerChoice):
            edit = None if module.edit is None else module.edit[1]
            if edit is not None and module._key is None:
                raise DecisionError(
                    f"LayerChoice {module.label!r} was edited, but constructed outside of the model; give the model "
                    "one that has these candidates",
                    label=module.label,
                )
            states.setdefault(module._key, []).append(edit)
    for key, edits in states.items():
        if key is not None and any(edit != edits[0] for edit in edits):
            raise DecisionError(
                f"LayerChoice {key[0]!r} stands in the model in {len(edits)} copies, which were edited differently; "
                "edit all of them alike",
                label=key[0],
            )
    return {key: edits[0] for key, edits in states.items() if key is not None and edits[0] is not None}


@dataclass(frozen=True)
class _Declared:
    """A choice that was declared: candidates, domain, prior, key, and the decision or default."""

    modules: dict[str, nn.Module]
    domain: Categorical
    prior: tuple[float, ...] | None
    key: Key | None
    decision: Decision

    @classmethod
    def of(cls, candidates: Any, prior: Any, label: str | None, when: When | None) -> _Declared:
        name = choose_label(label, "LayerChoice")
        modules = _named(candidates, name)
        key = next_key(name)
        modules, probabilities = edited(key, modules, check_prior(prior, len(modules), name))
        domain = Categorical(name, tuple(modules))
        _, decision = declare_and_decide(domain, "structure", condition_of(when, name))
        return cls(modules, domain, probabilities, key, decision)


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
