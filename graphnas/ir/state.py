"""Parameters and buffers of a model by their `state_dict` names, from the IR alone: nothing is allocated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal as OneOf
from typing import TypeAlias

from torch import nn

from graphnas.ir.infer import leaf_module, type_of
from graphnas.ir.literal import FrozenDict
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition, ModuleSpec
from graphnas.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class StateTensor:
    """A parameter or buffer.

    Attributes:
        type: Shape and dtype.
        storage: `parameter`, or how a buffer is kept: only `parameter` and `persistent` are in the `state_dict`.
        trained: Whether it is a parameter with `requires_grad`.
        source: Path of the very tensor that this is, where it is shared; empty for what is built here.
    """

    type: TensorType
    storage: OneOf["parameter", "persistent", "temporary", "plain"]
    trained: bool = False
    source: str = ""

    @property
    def is_saved(self) -> bool:
        """Whether a `state_dict` has it."""
        return self.storage in ("parameter", "persistent")


def state_of(module: Definition | ModuleSpec) -> Mapping[str, StateTensor]:
    """Return every parameter and buffer at and below a module by its dotted path, shared ones at each of their paths.

    >>> from graphnas.ir.literal import FrozenDict
    >>> linear = ModuleSpec("torch.nn:Linear", (8, 4))
    >>> {name: str(tensor.type) for name, tensor in state_of(linear).items()}
    {'weight': 'f32[4, 8]', 'bias': 'f32[4]'}

    Raises:
        GraphNASError: A leaf cannot be constructed.
    """
    if isinstance(module, ModuleSpec):
        return _of_leaf(module)
    for definition in module.bottom_up(lambda item: item.key in _KNOWN):
        _KNOWN.put(definition.key, _of_definition(definition))
    return _known(module)


_KNOWN: LRU[FrozenDict[StateTensor]] = LRU(4096)
_LEAVES: LRU[FrozenDict[StateTensor]] = LRU(4096)


def _known(definition: Definition) -> FrozenDict[StateTensor]:
    found = _KNOWN.get(definition.key)
    if found is None:  # forgotten since, in a model of more definitions than are remembered
        found = _of_definition(definition)
        _KNOWN.put(definition.key, found)
    return found


def _of_definition(definition: Definition) -> FrozenDict[StateTensor]:
    found: dict[str, StateTensor] = dict(_of_leaf(definition.base)) if definition.base is not None else {}
    for name, parameter in definition.parameters.items():
        found[name] = StateTensor(parameter.type, "parameter", parameter.requires_grad)
    for name, buffer in definition.buffers.items():
        found[name] = StateTensor(buffer.type, buffer.storage)
    for name, child in definition.children.items():
        below = _of_leaf(child) if isinstance(child, ModuleSpec) else _known(child)
        for path, tensor in below.items():
            source = f"{name}.{tensor.source}" if tensor.source else ""
            found[f"{name}.{path}"] = replace(tensor, source=source) if source else tensor
    for tie in definition.ties:
        for path in found:
            if path == tie.path or path.startswith(f"{tie.path}."):
                found[path] = replace(found[path], source=tie.source + path[len(tie.path) :])
    return FrozenDict(found)


def _of_leaf(spec: ModuleSpec) -> FrozenDict[StateTensor]:
    found = _LEAVES.get(spec.key)
    if found is None:
        found = FrozenDict(_tensors(leaf_module(spec)))
        _LEAVES.put(spec.key, found)
    return found


def _tensors(module: nn.Module) -> Iterator[tuple[str, StateTensor]]:
    seen: dict[int, str] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for name, parameter in part._parameters.items():
            if parameter is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield path, _tensor(parameter, "parameter", seen.setdefault(id(parameter), path), path)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                path = f"{prefix}.{name}" if prefix else name
                storage: _Registered = "temporary" if name in part._non_persistent_buffers_set else "persistent"
                yield path, _tensor(buffer, storage, seen.setdefault(id(buffer), path), path)


_Registered: TypeAlias = OneOf["parameter", "persistent", "temporary"]


def _tensor(value: object, storage: _Registered, first: str, path: str) -> StateTensor:
    type = type_of(value)
    assert isinstance(type, TensorType), "parameters and buffers are tensors"
    trained = storage == "parameter" and bool(getattr(value, "requires_grad", False))
    return StateTensor(type, storage, trained, "" if first == path else first)
