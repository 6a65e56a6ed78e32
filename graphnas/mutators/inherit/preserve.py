"""Whether a model of other widths can compute what the one before computed, if repeated channels are shared out.

A value whose channels are repeated passes through most operations as such: through what looks at each channel by
itself, and through layers, whose weights are shared out. What mixes channels without a weight, such as a softmax over
them or the product of queries and keys, changes its result. Normalisation over channels keeps it if all of them are
repeated equally often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graphnas.ir.graph import Graph, Node
from graphnas.ir.infer import leaf_module
from graphnas.ir.literal import Literal, Value
from graphnas.ir.module import Child, Definition, ModuleSpec
from graphnas.ir.types import TensorType
from graphnas.mutators.inherit.steps import is_uniform, repeated
from graphnas.mutators.widths.roles import is_summed

_WEIGHTED = frozenset(
    {"linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
)
_PRODUCTS = frozenset({"matmul", "bmm", "mm", "mv", "baddbmm", "addmm", "einsum"})
_MEANS = frozenset({"layer_norm", "rms_norm", "mean", "var", "std", "var_mean"})
_MIXING = frozenset(
    {
        "softmax",
        "log_softmax",
        "softmin",
        "logsumexp",
        "sum",
        "prod",
        "norm",
        "normalize",
        "cosine_similarity",
        "cumsum",
    }
    | {"cdist", "local_response_norm", "sort", "topk", "argmax", "argmin", "median", "cumprod", "bilinear"}
    | {"vector_norm", "tensordot", "roll"}
)
_MODULES: Mapping[str, str] = {
    "LayerNorm": "layer_norm",
    "RMSNorm": "rms_norm",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "LocalResponseNorm": "local_response_norm",
    "Bilinear": "bilinear",
}
_REGROUPED = "normalises groups that other channels would be in"
_ONLY_LAST = frozenset({"layer_norm", "rms_norm"})


def lost(before: Definition, after: Definition, weights: Mapping[str, Literal]) -> str:
    """Return where a change of widths changes what is computed, and why; the empty string if it does not.

    Args:
        before: The root of the parent.
        after: The root of the child: the same graphs with other widths.
        weights: The steps of its tensors.
    """
    for name, steps in weights.items():
        for step in steps:
            if step[0] == "resize" and any(new < old for old, new in step[3]):
                return f"{name} has fewer channels"
            if step[0] == "resize" and is_summed(after, name, step[1]) is None:
                return f"it is not known how {name} is applied"
    return next(_lost(before, after, "", weights), "")


def _lost(before: Definition, after: Definition, path: str, weights: Mapping[str, Literal]) -> Iterator[str]:
    even = all(is_uniform(step[3]) for steps in weights.values() for step in steps if step[0] == "resize")
    if before.key == after.key:
        return
    for old_graph, new_graph in zip(before.graphs, after.graphs, strict=True):
        for old, new in zip(old_graph.nodes, new_graph.nodes, strict=True):
            child = before.child(old.operation.target) if old.operation.kind == "module" else None
            if isinstance(child, Definition):
                continue
            changed = _changed(old_graph, new_graph, old, new)
            if isinstance(child, ModuleSpec) and child.type == "GroupNorm" and any(changed):
                below = f"{path}.{old.operation.target}" if path else old.operation.target
                if not _keeps_groups(child, after.child(new.operation.target), weights.get(f"{below}.weight", ())):
                    yield f"{path}:{old.name} {_REGROUPED}"
            elif any(changed):
                why = _why(old_graph, old, child, changed, even)
                if why:
                    yield f"{path}:{old.name} {why}"
    for name, child in before.children.items():
        other = after.children[name]
        if isinstance(child, Definition) and isinstance(other, Definition):
            yield from _lost(child, other, f"{path}.{name}" if path else name, weights)


def _keeps_groups(old: ModuleSpec, new: Child, steps: Literal) -> bool:
    """Tell whether each group of a GroupNorm repeats all channels of one group before, equally often."""
    resizes = [step[3] for step in steps if step[0] == "resize"]
    if len(resizes) != 1 or not isinstance(new, ModuleSpec):
        return False
    before, after = leaf_module(old), leaf_module(new)
    sources, size = repeated(resizes[0]), before.num_channels // before.num_groups  # type: ignore[operator]
    length = after.num_channels // after.num_groups  # type: ignore[operator]  # attributes of a GroupNorm
    for start in range(0, len(sources), length):
        part = sources[start : start + length]
        counts = {source: part.count(source) for source in part}
        if len(counts) != size or len(set(counts.values())) != 1 or len({source // size for source in part}) != 1:
            return False
    return True


def _changed(old_graph: Graph, new_graph: Graph, old: Node, new: Node) -> list[tuple[int, ...]]:
    """Return, for each operand, which of its dimensions have another size, counted from the end: -1 is the last."""
    found: list[tuple[int, ...]] = []
    for value, other in zip(old.inputs, new.inputs, strict=True):
        types = old_graph.type_of(value), new_graph.type_of(other)
        if isinstance(types[0], TensorType) and isinstance(types[1], TensorType):
            pairs = list(zip(types[0].shape, types[1].shape, strict=True))
            found.append(tuple(index - len(pairs) for index, (a, b) in enumerate(pairs) if a != b))
        else:
            found.append(())
    return found


def _why(graph: Graph, node: Node, child: ModuleSpec | None, changed: list[tuple[int, ...]], even: bool) -> str:
    name = node.operation.target.rpartition(":")[2].rpartition(".")[2]
    if child is not None:
        if child.type == "MultiheadAttention":
            return ""
        name = _MODULES.get(child.type, "")
    if name in _WEIGHTED or (name in _PRODUCTS and any(_is_weight(graph, value) for value in node.inputs)):
        return ""
    if name in _PRODUCTS:
        return "multiplies repeated channels with each other" if _sums(node, changed) else ""
    if name == "scaled_dot_product_attention":
        return "compares keys and queries of repeated channels" if -1 in changed[0] else ""
    if name == "group_norm":
        return _REGROUPED
    if name in _MEANS and not even and _concerns(name, child, node, graph, changed[0]):
        return "takes means over channels that are not repeated equally often"
    if name in _MIXING and _concerns(name, child, node, graph, changed[0]):
        return "mixes repeated channels"
    return ""


def _sums(node: Node, changed: list[tuple[int, ...]]) -> bool:
    """Tell whether a product of two values sums over a dimension that changed."""
    if not node.operation.target.endswith("einsum"):
        return -1 in changed[0]
    equation = str(node.args[0]).replace(" ", "")
    left, _, right = equation.partition("->")
    terms = left.split(",")
    return (
        any(term[index] not in right for term, dims in zip(terms, changed, strict=False) for index in dims)
        or "." in equation
    )


def _is_weight(graph: Graph, value: Value) -> bool:
    producer = graph.producer(value)
    while producer is not None and producer.operation.kind != "attribute" and len(producer.inputs) == 1:
        producer = graph.producer(producer.inputs[0])
    return producer is not None and producer.operation.kind == "attribute"


def _concerns(name: str, child: ModuleSpec | None, node: Node, graph: Graph, changed: tuple[int, ...]) -> bool:
    """Tell whether an operation mixes along a dimension that changed; where it does not say along which, it does."""
    if name in _ONLY_LAST:
        shape = leaf_module(child).normalized_shape if child is not None else node.args[1]
        return any(-index <= len(shape) for index in changed)  # type: ignore[arg-type]  # a tuple of sizes
    if name in ("local_response_norm", "bilinear"):
        return True
    dims = getattr(leaf_module(child), "dim", None) if child is not None else _dims(node)
    if dims is None:
        return True
    type = graph.type_of(node.inputs[0])
    rank = len(type.shape) if isinstance(type, TensorType) else 0
    return any((dim if dim < 0 else dim - rank) in changed for dim in (dims if isinstance(dims, tuple) else (dims,)))


def _dims(node: Node) -> Literal:
    for key in ("dim", "dims"):
        if key in node.kwargs:
            return node.kwargs[key]
    if node.operation.target.endswith("roll"):
        return node.args[2] if len(node.args) > 2 else None
    rest = [item for item in node.args[1:] if type(item) is int or isinstance(item, tuple)]
    return rest[0] if rest else None
