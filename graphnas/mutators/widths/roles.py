"""Which axes of a parameter are summed over where it is applied: those that take channels, not those that make them.

Where a channel is duplicated, what makes it is copied, and what is summed over has to be shared out (Net2Net).
"""

from __future__ import annotations

from collections.abc import Iterator

from graphnas.ir.edits import ancestors
from graphnas.ir.graph import Graph, Node
from graphnas.ir.literal import Argument, Value
from graphnas.ir.module import Definition, ModuleSpec
from graphnas.ir.types import TensorType
from graphnas.mutators.widths.leaves import leaf_kind

_SUMMED: dict[str, dict[str, int]] = {
    "Linear": {"weight": 1},
    **{f"Conv{rank}d": {"weight": 1} for rank in (1, 2, 3)},
    **{f"ConvTranspose{rank}d": {"weight": 0} for rank in (1, 2, 3)},
    "MultiheadAttention": {"in_proj_weight": 1, "out_proj.weight": 1},
}
"""By class of torch.nn and parameter."""

_FUNCTIONS: dict[str, int] = {
    "linear": 1,
    **{f"conv{rank}d": 1 for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d": 0 for rank in (1, 2, 3)},
}
"""By function that takes a weight as its second argument."""

_PRODUCTS = frozenset({"matmul", "bmm", "mm"})
_PLAIN = frozenset({"to", "type_as", "contiguous", "clone", "float", "expand", "expand_as"})


def is_summed(root: Definition, name: str, axis: int) -> bool | None:
    """Tell whether an axis of a parameter or buffer is summed over; None if it is used in a way that is not known.

    Args:
        root: The model.
        name: The name in its `state_dict`.
        axis: Number of the axis.
    """
    module, own = _owner(root, name)
    if isinstance(module, ModuleSpec):
        return _SUMMED.get(leaf_kind(module), {}).get(own) == axis
    found = {answer for graph, node in _reads(root, name) for answer in _uses(graph, node.value, axis)}
    return None if None in found or len(found) > 1 else bool(found and found.pop())


def _owner(root: Definition, name: str) -> tuple[Definition | ModuleSpec, str]:
    found: Definition | ModuleSpec = root
    names = name.split(".")
    while isinstance(found, Definition) and len(names) > 1 and names[0] in found.children:
        found = found.children[names.pop(0)]
    return found, ".".join(names)


def _reads(root: Definition, name: str) -> Iterator[tuple[Graph, Node]]:
    """Yield every node that reads a tensor, whichever module above it reads it."""
    for above, definition in ancestors(root, name):
        below = name[len(above) + 1 :] if above else name
        for graph in definition.graphs:
            for node in graph.nodes:
                if node.operation.kind == "attribute" and node.operation.target == below:
                    yield graph, node


def _uses(graph: Graph, value: Value, axis: int) -> Iterator[bool | None]:
    """Yield, for each use of a weight, whether the axis is summed over there."""
    whole = graph.type_of(value)
    rank = len(whole.shape) if isinstance(whole, TensorType) else 0
    for node in graph.uses(value):
        name = node.operation.target.rpartition(":")[2].rpartition(".")[2]
        place = next((index for index, item in enumerate(node.args) if item == value), -1)
        if node.operation.kind == "module":
            yield None
        elif name in _FUNCTIONS and (place == 1 or node.kwargs.get("weight") == value):
            yield _FUNCTIONS[name] == axis
        elif name in _PRODUCTS:
            yield axis == (rank - 1 if place == 0 else max(rank - 2, 0))
        elif name == "einsum":
            yield _in_einsum(node.args, place, axis)
        elif name in ("t", "T", "mT", "transpose") and place == 0:
            yield from _transposed(graph, node, axis, rank)
        elif name in _PLAIN and place == 0:
            yield from _uses(graph, node.value, axis)
        elif name in ("view", "reshape", "permute", "flatten"):
            yield None
        else:
            yield False


def _transposed(graph: Graph, node: Node, axis: int, rank: int) -> Iterator[bool | None]:
    given = [item for item in node.args[1:] if type(item) is int]
    first, second = (given[0] % rank, given[1] % rank) if len(given) == 2 else (rank - 2, rank - 1)
    moved = {first: second, second: first}.get(axis, axis)
    yield from _uses(graph, node.value, moved)


def _in_einsum(args: tuple[Argument, ...], place: int, axis: int) -> bool | None:
    equation = args[0]
    if not isinstance(equation, str) or "->" not in equation or "." in equation or place < 1:
        return None
    left, _, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    return terms[place - 1][axis] not in right if place <= len(terms) else None
