"""One forward while it is being traced: the fx graph that is growing, and which object stands for which node."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
import torch.fx
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from graphnas.ir.literal import Literal


@dataclass
class Lifted:
    """A value from an enclosing graph that this one uses without having been given it: an input more."""

    value: Any
    node: torch.fx.Node


class Constants:
    """Names tensors that belong to no module by their content, the same in all calls of a module and in both modes."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, torch.Tensor]] = {}

    def name(self, path: str, module: nn.Module, tensor: torch.Tensor) -> str:
        """Return the name of a constant of the module at `path`, one that the module does not have."""
        known = self._known.setdefault(path, {})
        for name, other in known.items():
            if other is tensor or _same(other, tensor):
                return name
        name = next(name for i in count(len(known)) if not hasattr(module, name := f"constant_{i}"))
        known[name] = tensor
        return name


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if isinstance(a, FakeTensor) or isinstance(b, FakeTensor) or a.is_meta or b.is_meta:
        return False
    if a.dtype is not b.dtype or a.shape != b.shape or a.device != b.device:
        return False
    with unset_fake_temporarily(), torch._C.DisableTorchFunction():
        return torch.equal(a, b)


@dataclass
class Scope:
    """A graph under construction.

    Objects are known by identity. The object is kept beside its node, so that no identity is given out twice.

    Attributes:
        path: Path of the module whose forward is traced, from the root.
        module: The module.
        graph: What was recorded so far.
        outer: The scope of the caller, None for the root.
        nodes: Identity of an object, to the object and its node.
        guards: Node and outcome of each decision by value, with its `file:line`.
        lifted: Values taken from enclosing scopes, in the order of their first use.
        constants: Tensors that belong to no module, by the attribute name that they get.
    """

    path: str
    module: nn.Module
    graph: torch.fx.Graph
    outer: Scope | None
    nodes: dict[int, tuple[Any, torch.fx.Node]] = field(default_factory=dict)
    guards: list[tuple[torch.fx.Node, Literal, str]] = field(default_factory=list)
    lifted: list[Lifted] = field(default_factory=list)
    constants: dict[str, torch.Tensor] = field(default_factory=dict)

    def bind(self, value: Any, node: torch.fx.Node) -> None:
        """Let `value` stand for `node` from now on."""
        self.nodes[id(value)] = (value, node)

    def find(self, value: Any) -> torch.fx.Node | None:
        """Return the node that an object stands for, None if it is not known here."""
        known = self.nodes.get(id(value))
        return None if known is None else known[1]

    def relative(self, path: str) -> str | None:
        """Return a path from the root as one from this scope's module, None if it does not lie below it."""
        if not self.path:
            return path
        return path[len(self.path) + 1 :] if path.startswith(f"{self.path}.") else None


@dataclass(frozen=True)
class Call:
    """One traced call of a module that has a graph.

    Attributes:
        graph: The finished fx graph.
        guards: As in `Scope`.
        inputs: Names of the inputs in order, with whether they are passed by keyword only.
        constants: As in `Scope`.
        fixed: Arguments that were given and hold nothing traced, so that the graph is specialised for them.
    """

    graph: torch.fx.Graph
    guards: tuple[tuple[torch.fx.Node, Literal, str], ...]
    inputs: tuple[tuple[torch.fx.Node, bool], ...]
    constants: dict[str, torch.Tensor]
    fixed: dict[str, Any] = field(default_factory=dict)
