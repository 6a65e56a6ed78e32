"""What a traced tensor holds, where a model asks for it: the few operations that lead to it, executed for real.

A trace knows shapes and no data. Masks that are made of shapes, and lengths that are given as inputs, are asked for
numbers nevertheless. Nothing of this happens before a model does ask, and no module is run for it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.fx
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from graphnas.ir.calls import is_impure, is_random
from graphnas.ir.trace.scope import Call, Scope

_LARGEST = 1 << 20
"""Most elements of a tensor that is computed."""


_VIEWS = frozenset(
    {
        "getitem",
        "view",
        "view_as",
        "reshape",
        "expand",
        "expand_as",
        "transpose",
        "permute",
        "t",
        "unsqueeze",
        "squeeze",
    }
    | {"select", "narrow", "flatten", "unflatten", "diagonal", "detach", "contiguous", "to", "type_as", "getattr"}
    | {"unbind", "chunk", "split", "swapaxes", "movedim", "as_strided", "unfold"}
)
"""Names of what may return its first argument, or a view of it."""


class Known(NamedTuple):
    """A value, and whether it hangs on inputs or on what is trained, and not on shapes and constants alone."""

    value: Any
    from_data: bool


class _UnknownError(Exception):
    """A value hangs on what is not known while tracing."""


@dataclass(frozen=True)
class _Frame:
    """A graph that is looked at: what its inputs stand for, as an argument in another frame, None for the root's."""

    bind: Callable[[torch.fx.Node], tuple[Any, _Frame] | None]


class Replay:
    """Answers what tensors hold.

    Args:
        calls: Finished calls of modules, by path.
        examples: Real tensors that fake inputs stand for, by identity of the fake ones.
        root: The model; what its state_dict holds counts as data.
    """

    def __init__(self, calls: Mapping[str, list[Call]], examples: Mapping[int, torch.Tensor], root: nn.Module) -> None:
        self.calls = calls
        self.examples = examples
        self.root = root
        self._state: frozenset[int] | None = None
        self._seen: dict[tuple[torch.fx.Node, int], Known] = {}

    def known(self, node: torch.fx.Node, scope: Scope) -> Known | None:
        """Return what the node of a graph under construction yields, None if that cannot be known."""
        self._seen = {}
        frames: dict[int, _Frame] = {}
        try:
            with unset_fake_temporarily(), torch.no_grad(), torch._C.DisableTorchFunction():
                return self._value(node, _frame_of(scope, frames))
        except (_UnknownError, RuntimeError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError):
            return None

    def _resolve(self, argument: Any, frame: _Frame) -> tuple[Any, _Frame]:
        """Follow an argument to where it is computed, through calls of modules and items of tuples."""
        while isinstance(argument, torch.fx.Node):
            if argument.op == "placeholder":
                bound = frame.bind(argument)
                if bound is None:
                    return argument, frame
                argument, frame = bound
            elif argument.op == "call_module" and "call" in argument.meta:
                path, index = argument.meta["call"]
                call = self.calls[path][index]
                inputs = {node: position for position, (node, _) in enumerate(call.inputs)}
                outer, given = frame, argument.args
                output = next(node for node in reversed(call.graph.nodes) if node.op == "output")
                argument, frame = output.args[0], _Frame(lambda node, i=inputs, g=given, f=outer: (g[i[node]], f))  # type: ignore[misc]  # bound now
            elif argument.op == "call_function" and argument.target is operator.getitem:
                base, inner = self._resolve(argument.args[0], frame)
                if isinstance(base, torch.fx.Node) or not isinstance(base, (tuple, list, dict)):
                    return argument, frame
                argument, frame = base[argument.args[1]], inner  # type: ignore[index]  # a literal
            else:
                break
        return argument, frame

    def _value(self, argument: Any, frame: _Frame) -> Known:
        argument, frame = self._resolve(argument, frame)
        if isinstance(argument, torch.fx.Node):
            key = (argument, id(frame))
            if key not in self._seen:
                self._seen[key] = self._computed(argument, frame)
            return self._seen[key]
        if isinstance(argument, (tuple, list)) and not isinstance(argument, torch.Size):
            items = [self._value(item, frame) for item in argument]
            values = [item.value for item in items]
            return Known(values if isinstance(argument, list) else tuple(values), any(item.from_data for item in items))
        if isinstance(argument, slice):
            bounds = self._value((argument.start, argument.stop, argument.step), frame)
            return Known(slice(*bounds.value), bounds.from_data)
        return Known(argument, False)

    def _computed(self, node: torch.fx.Node, frame: _Frame) -> Known:
        recorded = node.meta.get("val")
        if node.op == "placeholder":
            return Known(self._example(recorded), True)
        if node.op == "get_attr":
            return self._attribute(recorded)
        if not isinstance(recorded, (torch.Tensor, tuple, list)) or isinstance(recorded, torch.Size):
            return Known(recorded, bool(node.meta.get("from_data")))
        if node.op == "call_module" or is_random(_name(node)) or is_impure(node.target, node.kwargs):
            raise _UnknownError
        if isinstance(recorded, torch.Tensor) and recorded.numel() > _LARGEST:
            raise _UnknownError
        known = self._execute(node, frame)
        changes = _changes_of(node)
        if not changes:
            return known
        held = Known(known.value.clone(), known.from_data)
        self._seen[(node, id(frame))] = held
        results = [self._execute(change, frame, mutate=True) for change in changes]
        return Known(held.value, held.from_data or any(item.from_data for item in results))

    def _execute(self, node: torch.fx.Node, frame: _Frame, *, mutate: bool = False) -> Known:
        args = self._value(tuple(node.args), frame)
        names = tuple(node.kwargs)
        kwargs = self._value(tuple(node.kwargs.values()), frame)
        given, options = args.value, dict(zip(names, kwargs.value, strict=True))
        if node.op == "call_method":
            result = getattr(given[0], str(node.target))(*given[1:], **options)
        else:
            result = node.target(*given, **options)  # type: ignore[operator]  # a function
        known = Known(result, args.from_data or kwargs.from_data)
        if mutate:
            self._seen[(node, id(frame))] = known
        return known

    def _attribute(self, tensor: Any) -> Known:
        if not isinstance(tensor, torch.Tensor) or isinstance(tensor, FakeTensor) or tensor.is_meta:
            raise _UnknownError
        if self._state is None:
            self._state = frozenset(id(value) for value in self.root.state_dict(keep_vars=True).values())
        return Known(tensor.detach().clone(), id(tensor) in self._state)

    def _example(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in self.examples:
                raise _UnknownError
            return self.examples[id(value)].detach().clone()
        if isinstance(value, (tuple, list)):
            return type(value)(map(self._example, value))
        if isinstance(value, dict):
            return {key: self._example(item) for key, item in value.items()}
        return value


def _frame_of(scope: Scope, frames: dict[int, _Frame]) -> _Frame:
    """Return the frame of a graph under construction: its inputs are values of the one around it."""
    if id(scope) not in frames:
        outer = scope.outer

        def bind(node: torch.fx.Node) -> tuple[Any, _Frame] | None:
            if outer is None:
                return None
            found = _outer_argument(node.meta["val"], outer)
            return found, _frame_of(outer, frames)

        frames[id(scope)] = _Frame(bind)
    return frames[id(scope)]


def _outer_argument(value: Any, outer: Scope) -> Any:
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return type(value)(_outer_argument(item, outer) for item in value)
    if isinstance(value, dict):
        return {key: _outer_argument(item, outer) for key, item in value.items()}
    if isinstance(value, torch.Tensor):
        node = outer.find(value)
        if node is None:
            raise _UnknownError
        return node
    return value


def _name(node: torch.fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _changes_of(node: torch.fx.Node) -> list[torch.fx.Node]:
    """Return the operations that change the value of a node in place, those on views of it included, in order.

    Raises:
        _UnknownError: Something else takes the value before the last change; what it saw would be lost.
    """
    related = {node: None}
    changes: list[torch.fx.Node] = []
    last = 0
    order = {item: index for index, item in enumerate(node.graph.nodes)}
    for item in node.graph.nodes:
        first = item.args[0] if item.args else None
        if first in related and item.op in ("call_function", "call_method"):
            if is_impure(item.target, item.kwargs):
                path = [item]
                while path[-1].args[0] is not node:
                    path.append(path[-1].args[0])
                changes += [step for step in reversed(path) if step not in changes]
                last = order[item]
            if is_impure(item.target, item.kwargs) or _name(item) in _VIEWS:
                related[item] = None
    if changes and any(order[user] < last and user not in changes for user in node.users):
        raise _UnknownError
    return changes
