"""The seams through which objects that the IR does not know take part in recording and tracing.

Inline choices live above the IR. The recorder and the tracer never import them: an object that carries one of these
methods is asked, anything else is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from torch import nn

from graphnas.ir.module import ModuleSpec


@runtime_checkable
class Resolvable(Protocol):
    """Something that stands for a plain value when it is an argument of a leaf's constructor."""

    def __graphnas_resolve__(self) -> Any:
        """Return the plain value to construct with."""


@dataclass(frozen=True)
class Expansion:
    """How a module with an open decision is traced.

    Attributes:
        kind: `choice`: every module is traced with the same inputs, the first one's output is passed on. `repeat`:
            the modules are chained.
        label: Label of the decision.
        modules: Candidates or blocks, by the name that they get in the definition, in order.
    """

    kind: Literal["choice", "repeat"]
    label: str
    modules: Mapping[str, nn.Module]


class Expandable(Protocol):
    """A module with an open decision."""

    def __graphnas_expand__(self) -> Expansion:
        """Return how it is traced."""


class Written(Protocol):
    """A leaf that is something else in the graph."""

    def __graphnas_leaf__(self) -> ModuleSpec:
        """Return the constructor call that stands for it."""


def expansion_of(module: nn.Module) -> Expansion | None:
    """Return how a module with an open decision is traced, None if it has none."""
    expand = getattr(type(module), "__graphnas_expand__", None)  # quicker than asking a protocol, thousands of times
    return None if expand is None else expand(module)
