"""How drawings look: one table of colours, and which kind of operation gets which."""

from __future__ import annotations

from dataclasses import dataclass

from graphnas.ir.graph import Node
from graphnas.ir.module import Child, Definition, ModuleSpec


@dataclass(frozen=True)
class Style:
    """Colours of a box as `#rrggbb`, and the shape of its outline."""

    fill: str
    line: str
    text: str = "#101828"
    dashed: bool = False


STYLES = {
    "input": Style("#1d2939", "#1d2939", "#ffffff"),
    "output": Style("#1d2939", "#1d2939", "#ffffff"),
    "linear": Style("#dbeafe", "#3b82f6"),
    "normalisation": Style("#dcfce7", "#22a35a"),
    "activation": Style("#ffedd5", "#ea8a2f"),
    "pooling": Style("#ccfbf1", "#14a395"),
    "recurrent": Style("#e0e7ff", "#6366f1"),
    "attention": Style("#fae8ff", "#c04ad8"),
    "dropout": Style("#f2f4f7", "#98a2b3"),
    "embedding": Style("#cffafe", "#0e9ab8"),
    "arithmetic": Style("#fef9c3", "#ca9a04"),
    "function": Style("#f5f3ff", "#9277e0"),
    "parameter": Style("#fce7f3", "#db5a9b"),
    "module": Style("#ffffff", "#475467"),
    "opaque": Style("#d0d5dd", "#475467", dashed=True),
    "choice": Style("#fef3c7", "#d97706", dashed=True),
}
"""By category, in the order of a legend."""

STATUS_LINES = {"added": "#15803d", "changed": "#b45309", "removed": "#b91c1c"}
STATUS_FILLS = {"added": "#bbf7d0", "changed": "#fde68a", "removed": "#fee2e2"}
STATUS_MARKS = {"added": "+ added", "changed": "~ changed", "removed": "- removed"}
"""Text marks, so that no meaning hangs on a colour alone."""

CLUSTER_FILLS = ("#f8fafc", "#eef2f6")
CLUSTER_LINE = "#cbd5e1"
EDGE_LINE = "#98a2b3"
MUTED_TEXT = "#667085"
FONT = "Helvetica"

_BY_PREFIX = (
    ("Conv", "linear"),
    ("LazyConv", "linear"),
    ("Linear", "linear"),
    ("Bilinear", "linear"),
    ("Embedding", "embedding"),
    ("MultiheadAttention", "attention"),
    ("Transformer", "attention"),
    ("scaled_dot_product_attention", "attention"),
    ("Dropout", "dropout"),
    ("dropout", "dropout"),
    ("Identity", "dropout"),
    ("LSTM", "recurrent"),
    ("GRU", "recurrent"),
    ("RNN", "recurrent"),
    ("conv", "linear"),
    ("linear", "linear"),
    ("matmul", "linear"),
    ("bmm", "linear"),
    ("einsum", "linear"),
)
_BY_PART = (("Norm", "normalisation"), ("_norm", "normalisation"), ("Pool", "pooling"), ("_pool", "pooling"))
_ACTIVATIONS = frozenset(
    {"relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh", "softmax", "logsoftmax"}
    | {"leakyrelu", "leaky_relu", "prelu", "rrelu", "hardtanh", "hardswish", "hardsigmoid", "hardshrink", "softplus"}
    | {"softshrink", "softsign", "softmin", "tanhshrink", "threshold", "glu", "log_softmax", "logsigmoid", "swish"}
)


def category(node: Node, child: Child | None) -> str:
    """Return the key of `STYLES` for a node that calls `child`, or for an operation where that is None."""
    if isinstance(child, Definition):
        return "choice" if child.kind in ("choice", "repeat") else "module"
    if isinstance(child, ModuleSpec):
        if child.opaque:
            return "opaque"
        return by_type(child.type, "module")
    if node.operation.kind in ("attribute", "assign", "training"):
        return "parameter"
    target = node.operation.target
    return "arithmetic" if target.startswith("operator:") else by_type(target.rpartition(":")[2], "function")


def by_type(name: str, default: str) -> str:
    """Return the category of a class or function by its name."""
    if name.lower() in _ACTIVATIONS:
        return "activation"
    for prefix, found in _BY_PREFIX:
        if name.startswith(prefix):
            return found
    return next((found for part, found in _BY_PART if part in name), default)
