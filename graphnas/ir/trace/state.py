"""What a forward leaves on its modules: attributes that it bound anew, and what the next call would make of that.

A tensor that takes the place of another is an operation of the graph, `self.state = ...`. Anything else, such as a
cache, a counter or the last attention map, has no place in a graph. It does no harm as long as later calls compute what
the first one computed, and that is found out by tracing them as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx
from torch import nn

from graphnas.ir.calls import is_impure
from graphnas.ir.effects import statistics_of
from graphnas.ir.trace.arguments import own_tensors
from graphnas.ir.trace.scope import Call
from graphnas.ir.trace.structure import leaves
from graphnas.ir.trace.wrappers import computed_tensors

_STANDARD = frozenset(vars(nn.Module()))
_VIEWS = frozenset(
    {"getitem", "view", "reshape", "transpose", "permute", "t", "squeeze", "unsqueeze", "narrow", "select", "expand"}
    | {"flatten", "unflatten", "detach", "getattr", "chunk", "split", "unbind", "diagonal", "view_as", "movedim"}
)


@dataclass(frozen=True)
class Change:
    """An attribute that holds something else than before; `old` or `new` is None where there is nothing."""

    path: str
    name: str
    old: Any
    new: Any

    @property
    def whole_path(self) -> str:
        """Path of the attribute from the root."""
        return f"{self.path}.{self.name}" if self.path else self.name


class StateWatch:
    """Knows what the attributes of modules hold, and tells what changed since it was last asked."""

    def __init__(self, modules: Iterable[tuple[str, nn.Module]]) -> None:
        self._modules = {id(module): (path, module) for path, module in modules}
        self._held = {known: _attributes(module) for known, (_, module) in self._modules.items()}

    def changes_of(self, module: nn.Module) -> list[Change]:
        """Return what changed on one module, in the order of its attributes."""
        if id(module) not in self._modules:
            return []
        path = self._modules[id(module)][0]
        before, now = self._held[id(module)], _attributes(module)
        if before == now:
            return []
        self._held[id(module)] = now
        pairs = ((name, before.get(name, _NOTHING), now.get(name, _NOTHING)) for name in {**before, **now})
        return [Change(path, name, old.value, new.value) for name, old, new in pairs if old != new]

    def forget(self, module: nn.Module) -> None:
        """Take what a module and all below it hold now as given."""
        for part in module.modules():
            self.changes_of(part)

    def changes(self) -> list[Change]:
        """Return what changed on any module."""
        return [change for _, module in self._modules.values() for change in self.changes_of(module)]


class _Held:
    """A value by identity, with what a container holds."""

    __slots__ = ("items", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        items: Any = ()
        if isinstance(value, dict):
            items = (*value.keys(), *value.values())
        elif isinstance(value, (list, set)):
            items = tuple(value)
        self.items = tuple(items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Held) or self.value is not other.value or len(self.items) != len(other.items):
            return False
        return all(a is b for a, b in zip(self.items, other.items, strict=True))

    __hash__ = None  # type: ignore[assignment]  # what it holds may change


_NOTHING = _Held(None)


def _attributes(module: nn.Module) -> dict[str, _Held]:
    left_out = {*_STANDARD, *computed_tensors(module)}  # what hooks compute anew is no state
    found = {name: _Held(value) for name, value in vars(module).items() if name not in left_out}
    for registered in (module._parameters, module._buffers, module._modules):
        found |= {name: _Held(value) for name, value in registered.items()}
    return found


def assign_attribute(name: str, value: Any) -> Any:
    """Stand for `self.name = value` in fx graphs; never called.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("this function only marks a node of a graph")


def shared_memory(root: nn.Module) -> tuple[tuple[tuple[str, torch.Tensor], ...], ...]:
    """Return the tensors that lie in the same memory by path, group by group, those left out that can be tied."""
    groups: dict[int, dict[tuple[int, str], tuple[str, torch.Tensor]]] = {}
    for path, module in root.named_modules():
        for name, tensor in own_tensors(module):
            if tensor.layout is torch.strided and not tensor.is_meta and tensor.numel():
                whole = f"{path}.{name}" if path else name
                groups.setdefault(tensor.untyped_storage()._cdata, {})[id(module), name] = (whole, tensor)
    return tuple(
        tuple(group.values())
        for group in groups.values()
        if len(group) > 1 and not all(isinstance(tensor, nn.Parameter) for _, tensor in group.values())
    )


def writes_in_place(calls: Mapping[str, Sequence[Call]]) -> frozenset[str]:
    """Return the paths, from the root, of the tensors of modules that calls change in place."""
    found = []
    for path, traced in calls.items():
        for call in traced:
            for node in call.graph.nodes:
                for target in _written(node):
                    found.append(f"{path}.{target}" if path else target)
    return frozenset(found)


def _written(node: torch.fx.Node) -> list[str]:
    """Return the attributes that an operation writes to."""
    if node.op not in ("call_function", "call_method"):
        return []
    kept = statistics_of(getattr(node.target, "__name__", ""), node.args, node.kwargs)
    if kept:
        return [str(item.target) for item in kept if isinstance(item, torch.fx.Node) and item.op == "get_attr"]
    target = _origin(node) if is_impure(node.target, node.kwargs) else None
    return [] if target is None else [target]


def state_writes(calls: Mapping[str, Sequence[Call]]) -> tuple[tuple[str, str], ...]:
    """Return what calls write to tensors of modules, in place or by assignment: who calls, and what it does."""
    found: list[tuple[str, str]] = []
    for path, traced in calls.items():
        for call in traced:
            for node in call.graph.nodes:
                if node.target is assign_attribute:
                    found.append((path, f"= {node.args[0]}"))
                elif node.op in ("call_function", "call_method") and is_impure(node.target, node.kwargs):
                    target = _origin(node)
                    if target is not None:
                        name = getattr(node.target, "__name__", node.target)
                        found.append((path, f"{name} {target}"))
    return tuple(found)


_OF_FIRST = frozenset({"to", "type_as", "expand_as", "view_as", "reshape_as"})
"""Names of what takes the data of its first argument, and metadata of the others."""


def hangs_on_inputs(node: torch.fx.Node) -> bool:
    """Tell whether data of the inputs of its graph may be in the value of a node; shapes and the like do not count."""
    pending, seen = [node], {node}
    while pending:
        here = pending.pop()
        value = here.meta.get("val")
        name = here.target if isinstance(here.target, str) else getattr(here.target, "__name__", "")
        if not any(isinstance(leaf, torch.Tensor) for leaf in leaves(value)):
            if here.meta.get("from_data"):
                return True
            continue
        if here.op == "placeholder":
            return True
        if here.op == "get_attr" or name.endswith("_like") or name.startswith("new_"):
            sources: list[Any] = []
        else:
            sources = [here.args[0]] if name in _OF_FIRST else list(here.all_input_nodes)
        for user in here.users:
            if is_impure(user.target, user.kwargs) and user.args[0] is here:
                sources += user.all_input_nodes
        for source in sources:
            if isinstance(source, torch.fx.Node) and source not in seen:
                seen.add(source)
                pending.append(source)
    return False


def _origin(node: torch.fx.Node) -> str | None:
    """Return the attribute that an operation in place writes to, through views of it."""
    here: Any = node.args[0] if node.args else None
    while isinstance(here, torch.fx.Node):
        if here.op == "get_attr":
            return str(here.target)
        name = here.target if isinstance(here.target, str) else getattr(here.target, "__name__", "")
        if name not in _VIEWS and not is_impure(here.target, here.kwargs):
            return None
        here = here.args[0] if here.args else None
    return None
