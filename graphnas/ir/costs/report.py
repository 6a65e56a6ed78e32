"""The costs of a model, as numbers and as tables by module and by operation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal as OneOf

from graphnas.errors import GraphNASError
from graphnas.ir.abstract import TensorMeta, value_of, walk
from graphnas.ir.columns import aligned
from graphnas.ir.costs.walk import Call, cost_of_call
from graphnas.ir.model import Model
from graphnas.ir.module import Child, Definition, ModuleSpec, join
from graphnas.ir.state import state_of


@dataclass(frozen=True)
class ModuleCost:
    """What a module costs in one run of the model, with all below it; all of its calls together.

    Attributes:
        path: Its path, empty for the root.
        type: Its class.
        calls: How often it is called.
        parameters: Elements of its parameters, shared ones once, as of the module alone.
        flops: Twice its multiply-adds.
        activation_bytes: Memory for the results of its operations.
    """

    path: str
    type: str
    calls: int
    parameters: int
    flops: int
    activation_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-adds: half of `flops`."""
        return self.flops // 2


@dataclass(frozen=True)
class NodeCost:
    """What a node costs in one run of the model, with all that it calls; all of its visits together.

    Attributes:
        site: `path:node`.
        type: Class of the module that it calls, or name of the operation.
        flops: Twice its multiply-adds.
        activation_bytes: Memory for its results.
    """

    site: str
    type: str
    flops: int
    activation_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-adds: half of `flops`."""
        return self.flops // 2


class Costs:
    """What a model costs in one run on inputs of the types that it records, known without running it.

    A multiply-add is two FLOPs. What has no multiply-adds counts as none: element-wise operations, normalisation,
    activations, pooling, softmax, embeddings, interpolation. Printed, it is a table of modules.

    Attributes:
        model: The model.
        training: Whether it runs in train mode.
    """

    def __init__(self, model: Model, training: bool = False) -> None:
        self.model = model
        self.training = training

    @property
    def flops(self) -> int:
        """Twice the multiply-adds."""
        return self._call.effect.flops

    @property
    def macs(self) -> int:
        """Multiply-adds; tables of NAS benchmarks call these FLOPs."""
        return self.flops // 2

    @property
    def parameters(self) -> int:
        """Elements of all parameters, shared and tied ones once."""
        return _parameters(self.model.root)

    @property
    def trained_parameters(self) -> int:
        """Elements of the parameters that require gradients."""
        return _parameters(self.model.root, trained=True)

    @cached_property
    def parameter_bytes(self) -> int:
        """Memory for the parameters."""
        tensors = (item for item in state_of(self.model.root).values() if not item.source)
        return sum(_bytes(item.type) for item in tensors if item.storage == "parameter")

    @property
    def activation_bytes(self) -> int:
        """Memory for the results of all operations: what training keeps, roughly. Views and in-place ones take none."""
        return self._call.bytes

    @cached_property
    def peak_bytes(self) -> int:
        """The most memory that inputs and results take at once, each result freed after its last use."""
        return sum(_bytes(meta) for meta in walk(self._inputs) if isinstance(meta, TensorMeta)) + self._call.peak

    @cached_property
    def uncounted(self) -> tuple[str, ...]:
        """Sites of operations whose work depends on the data of a tensor, and so is not in `flops`."""
        return tuple(dict.fromkeys(_uncounted(self._call, "")))

    @cached_property
    def modules(self) -> tuple[ModuleCost, ...]:
        """Every module, parents before children, in the order of registration."""
        calls: dict[str, list[int]] = {"": [1, self._call.effect.flops, self._call.bytes]}
        _add_modules(self._call, "", calls)
        rows = []
        for path, part in self.model.root.walk():
            count, flops, memory = calls.get(path, (0, 0, 0))
            rows.append(ModuleCost(path, _type(part), count, _parameters(part), flops, memory))
        return tuple(rows)

    @cached_property
    def nodes(self) -> tuple[NodeCost, ...]:
        """Every node that is executed, in the order of execution."""
        found: dict[str, list[int]] = {}
        types: dict[str, str] = {}
        _add_nodes(self._call, self.model.root, "", found, types)
        return tuple(NodeCost(site, types[site], flops, memory) for site, (flops, memory) in found.items())

    def table(self, by: OneOf["module", "node"] = "module", depth: int | None = None) -> str:
        """Return a table as text.

        Args:
            by: What a row is about.
            depth: How many levels of modules below the root to show; all of them by default.
        """
        if by == "module":
            head = ("module", "type", "parameters", "FLOPs", "activation bytes")
            body = [
                (row.path or "(root)", row.type, row.parameters, row.flops, row.activation_bytes)
                for row in self.modules
                if depth is None or row.path.count(".") + bool(row.path) <= depth
            ]
            return _table(head, body)
        return _table(
            ("node", "operation", "FLOPs", "activation bytes"),
            [
                (row.site, row.type, row.flops, row.activation_bytes)
                for row in self.nodes
                if depth is None or row.site.partition(":")[0].count(".") + (row.site[0] != ":") <= depth
            ],
        )

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return (
            f"Costs({self.model.name}: {self.parameters:,} parameters, {self.flops:,} FLOPs, "
            f"{self.activation_bytes:,} activation bytes, {self.peak_bytes:,} at most at once)"
        )

    @cached_property
    def _inputs(self) -> tuple[object, ...]:
        root = self.model.root
        if not root.forwards:
            raise GraphNASError(f"{self.model.name} has no forward, so there is nothing to count")
        return tuple(value_of(item.type) for item in root.forwards[0].eval.inputs)

    @cached_property
    def _call(self) -> Call:
        return cost_of_call(self.model.root, 0, self._inputs, self.training)


def costs(model: Model, *, training: bool = False) -> Costs:
    """Return what a model costs in one run: parameters, FLOPs, activation memory. Nothing is allocated or run.

    Numbers are those of the recorded types of the inputs, whole batch included. An open choice counts as its first
    candidate, an open repeat at its greatest depth.

    Args:
        model: A traced model.
        training: Count train mode; eval mode by default.
    """
    return Costs(model, training)


def _parameters(part: Child, *, trained: bool = False) -> int:
    count = 0
    for tensor in state_of(part).values():
        if tensor.storage == "parameter" and not tensor.source and (tensor.trained or not trained):
            elements = 1
            for size in tensor.type.shape:
                elements *= size
            count += elements
    return count


def _bytes(item: object) -> int:
    shape, dtype = item.shape, item.dtype  # type: ignore[attr-defined]  # of a type or of metadata
    count = int(dtype.itemsize)
    for size in shape:
        count *= int(size)
    return count


def _type(part: Child) -> str:
    return part.type if isinstance(part, ModuleSpec) else part.class_name


def _uncounted(call: Call, path: str) -> Iterator[str]:
    for step in call.steps:
        if step.call is not None:
            yield from _uncounted(step.call, join(path, step.node.operation.target))
        elif not step.is_known:
            yield f"{path}:{step.node.name}"


def _add_modules(call: Call, path: str, found: dict[str, list[int]]) -> None:
    for step in call.steps:
        if step.node.operation.kind != "module":
            continue
        *above, name = step.node.operation.target.split(".")
        below = path
        for part, count in [*((part, 0) for part in above), (name, 1)]:  # what is passed by is not called
            below = join(below, part)
            row = found.setdefault(below, [0, 0, 0])
            for index, value in enumerate((count, step.flops, step.bytes)):
                row[index] += value
        if step.call is not None:
            _add_modules(step.call, below, found)


def _add_nodes(
    call: Call, definition: Definition, path: str, found: dict[str, list[int]], types: dict[str, str]
) -> None:
    for step in call.steps:
        site = f"{path}:{step.node.name}"
        row = found.setdefault(site, [0, 0])
        row[0] += step.flops
        row[1] += step.bytes
        operation = step.node.operation
        child = definition.child(operation.target) if operation.kind == "module" else None
        types[site] = _type(child) if child is not None else operation.target.rpartition(":")[2] or operation.kind
        if step.call is not None and isinstance(child, Definition):
            _add_nodes(step.call, child, join(path, operation.target), found, types)


def _table(head: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    """Return aligned columns, texts to the left and numbers to the right."""
    texts = [[f"{item:,}" if isinstance(item, int) else item for item in row] for row in rows]
    numbers = {index for index, item in enumerate(rows[0] if rows else ()) if isinstance(item, int)}
    return "\n".join(aligned([head, *texts], right=numbers))
