"""Edits of open layer choices: what a model's candidates are after its constructor has run.

A space constructs its model again and again, so an edit made on the open model (`del net.op[1]`) must be made again
each time. Choices are told apart by their label and by the how many-th choice of that label they are in a construction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.context import ContextStack, ModelNamespace
from graphnas.mutators.choices.again import constructed_again

Key: TypeAlias = tuple[str, int]
"""Label, and number among the choices of that label."""

_EDITS = "graphnas_edits"


@dataclass(frozen=True)
class Edit:
    """What became of the candidates of a choice.

    Attributes:
        candidates: Name and module, in order; None stands for the module that the constructor has put there.
        prior: Probabilities, None if there are none.
    """

    candidates: tuple[tuple[str, nn.Module | None], ...]
    prior: tuple[float, ...] | None


_SEEN: WeakKeyDictionary[ModelNamespace, Counter[str]] = WeakKeyDictionary()


def next_key(label: str) -> Key | None:
    """Return the key of the choice of that label that is being constructed; None outside of any model."""
    namespace: ModelNamespace | None = ContextStack.get(ModelNamespace.KEY)
    if namespace is None:
        return None
    seen = _SEEN.setdefault(namespace.root, Counter())
    seen[label] += 1
    return label, seen[label]


@contextmanager
def edits_in_force(edits: Mapping[Key, Edit]) -> Iterator[None]:
    """Make edits again on the choices that are constructed in a block."""
    with ContextStack(_EDITS, edits):
        yield


def edited(
    key: Key | None, modules: dict[str, nn.Module], prior: tuple[float, ...] | None
) -> tuple[dict[str, nn.Module], tuple[float, ...] | None]:
    """Return candidates and prior as the edits in force leave them."""
    edit: Edit | None = ContextStack.get(_EDITS, {}).get(key)
    if edit is None:
        return modules, prior
    found = {name: modules[name] if module is None else constructed_again(module) for name, module in edit.candidates}
    return found, edit.prior


def check_not_constructing(label: str) -> None:
    """Raise `DecisionError` while a model is constructed: under decisions, the choice is not there to be edited."""
    if ContextStack.get(ModelNamespace.KEY) is not None:
        raise DecisionError(
            f"LayerChoice {label!r}: candidates cannot be edited while the model is constructed, since a decided "
            "choice is the chosen module itself; change the list of candidates before it is given to LayerChoice, or "
            "edit the model once it is constructed, outside of `recording()`",
            label=label,
        )
