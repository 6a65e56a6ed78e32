"""More layers that change nothing at first, and copies of blocks that start from what the original has learnt.

The history notes how the new parameters start (`graphnas.mutators.inherit`): so that the child computes what its parent
computes, as in Net2DeeperNet (Chen et al. 2016, arXiv 1511.05641).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn

from graphnas.errors import ConfigError, MutationError
from graphnas.ir.graph import Graph, Node
from graphnas.ir.literal import Literal, Value
from graphnas.ir.module import Child, Definition, ModuleSpec, join
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.ir.state import state_of
from graphnas.ir.trace.leaf import spec_of
from graphnas.ir.types import TensorType
from graphnas.mutators.canonical import activation_of
from graphnas.mutators.in_place import protect
from graphnas.mutators.library.modules import CONVOLUTIONS, Where
from graphnas.mutators.library.wiring import branch_of
from graphnas.mutators.patterns import built
from graphnas.mutators.sited import SiteMutator, Sites, own_sites

_IDEMPOTENT = ("relu", "relu6", "hardtanh")
"""Activations that leave alone what they gave."""


class Deepen(SiteMutator[Site]):
    """Inserts a layer, a normalisation and an activation behind activations that are the same applied twice.

    The layer is a convolution or a Linear, whichever the activation stands behind, as wide as its input. With inherited
    weights it starts as an identity; otherwise as its class does.

    Args:
        kernel_size: Kernel of convolutions, an odd number.
        norm: Whether a BatchNorm stands behind convolutions.
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count, the activations.
        label: Name of the mutator.

    Raises:
        ConfigError: The kernel is even.
    """

    def __init__(
        self,
        kernel_size: int = 3,
        *,
        norm: bool = True,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        if type(kernel_size) is not int or kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size: expected an odd number, got {kernel_size!r}", field="kernel_size")
        self.kernel_size = kernel_size
        self.norm = norm

    def find(self, model: Rewriter) -> Iterable[Site]:
        for site in own_sites(model):
            is_same_twice = activation_of(site.node.operation, site.spec) in _IDEMPOTENT
            if is_same_twice and self._layers(model, site):
                yield site

    def edit(self, model: Rewriter, place: Site) -> None:
        last = place
        for module in self._layers(model, place):
            last = model.insert_after(last, spec_of(module, place.name))
            path = join(place.path, last.node.operation.target)
            model.note_weights({join(path, name): (step,) for name, step in _starts(module).items()})
        activation = place.spec if place.spec is not None else place.node.operation
        args = [last, *place.node.args[1:]]
        again = model.insert_after(last, activation, args=args, kwargs=place.node.kwargs)
        protect(model, place.path, place.node.value)
        protect(model, place.path, again.node.value)

    def wanted(self) -> str:
        return f"a {', '.join(_IDEMPOTENT)} behind a convolution or a Linear"

    def _layers(self, model: Rewriter, site: Site) -> tuple[nn.Module, ...]:
        """Return the layers to insert, none if it is not known what stands before an activation."""
        kind, type = _layer_before(model, site), site.node.type
        if not isinstance(type, TensorType):
            return ()
        size = self.kernel_size
        if kind == "Linear":
            channels = type.shape[-1]
            return (built(lambda: nn.Linear(channels, channels)),)
        rank = len(type.shape) - 2
        if kind not in CONVOLUTIONS or kind != f"Conv{rank}d":
            return ()
        channels = type.shape[1]
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[rank - 1]
        layer = built(lambda: conv(channels, channels, size, padding=size // 2, bias=not self.norm))
        return (layer, built(lambda: norm(channels))) if self.norm else (layer,)


def _layer_before(model: Rewriter, site: Site) -> str:
    """Return the class of the layer that suits the values at an activation, as far as its neighbours tell.

    They are the layer or the BatchNorm that it stands behind, perhaps by way of another normalisation, and those that
    take its result.
    """
    definition = model.definition(site.path)
    node: Node | None = site.node
    neighbours: list[Node] = []
    for _ in range(4):
        values = node.inputs if node is not None else ()
        node = site.graph.producer(values[0]) if values else None
        if node is None or node.operation.kind in ("attribute", "training"):
            break
        neighbours.append(node)
        if node.operation.kind != "module":
            break
    for node in (*neighbours, *site.uses):
        child = definition.child(node.operation.target) if node.operation.kind == "module" else None
        name = child.type if isinstance(child, ModuleSpec) else node.operation.target.rpartition(":")[2]
        if name in (*CONVOLUTIONS, "Linear"):
            return name
        if name.startswith(("BatchNorm", "batch_norm")) and isinstance(node.type, TensorType):
            rank = len(node.type.shape) - 2
            return f"Conv{rank}d" if rank > 0 else "Linear"
    return ""


def _starts(module: nn.Module) -> dict[str, Literal]:
    """Return how the parameters and buffers of an inserted layer start, so that it changes nothing in eval mode."""
    if not isinstance(module, nn.modules.batchnorm._BatchNorm):
        found: dict[str, Literal] = {"weight": ("identity",)}
        return found | ({"bias": ("fill", 0.0)} if module.bias is not None else {})
    return {
        "weight": ("fill", math.sqrt(1.0 + module.eps)),
        "bias": ("fill", 0.0),
        "running_mean": ("fill", 0.0),
        "running_var": ("fill", 1.0),
        "num_batches_tracked": ("fill", 0),
    }


def note_copy(model: Rewriter, original: str, copy: str, child: Child) -> None:
    """Note that a copy of a module starts from the weights of the original."""
    model.note_weights(
        {join(copy, name): (("copy", join(original, name)),) for name, item in state_of(child).items() if item.is_saved}
    )


def silenced(model: Rewriter, path: str) -> dict[str, tuple[Literal, ...]]:
    """Return how a residual block starts if its branches are to give zero, so that it returns what it is given.

    Raises:
        MutationError: It is no residual block, or it is not known what has to be zero in a branch.
    """
    definition = model.definition(path)
    graph = definition.forwards[0].eval
    output = graph.output if isinstance(graph.output, Value) else None
    additions = []
    while output is not None and (node := graph.producer(output)) is not None:
        child = definition.child(node.operation.target) if node.operation.kind == "module" else None
        branch = branch_of(graph, node)
        if branch is not None:
            additions.append(branch)
            output = next(value for value in node.inputs if value != branch)
        elif not additions and activation_of(node.operation, child) in _IDEMPOTENT:
            output = node.inputs[0]  # what the block before gave has passed it already
        else:
            output = None if not additions else output
            break
    if not additions or output is None or graph.producer(output) is not None:
        raise MutationError(f"{path} is no residual block whose shortcut leaves its input as it is", site=path)
    names = [name for branch in additions for name in _zeroed(model, path, graph, branch)]
    return dict.fromkeys(names, (("fill", 0.0),))


_ZERO_AT_ZERO = ("relu", "relu6", "gelu", "silu", "tanh", "hardswish", "mish", "elu", "celu", "selu", "leaky_relu")
_MOVING = frozenset(
    {"view", "reshape", "transpose", "permute", "flatten", "contiguous", "getitem", "dropout", "squeeze", "unsqueeze"}
    | {"roll", "truediv", "div", "mul", "chunk", "split", "unbind"}
)
_LAYERS = frozenset(
    {"Linear", "GroupNorm", "LayerNorm", "RMSNorm"}
    | {f"{kind}{rank}d" for kind in ("Conv", "ConvTranspose", "BatchNorm") for rank in (1, 2, 3)}
)


def _zeroed(model: Rewriter, path: str, graph: Graph, value: Value) -> list[str]:
    """Return the parameters that have to be zero for a value to be zero.

    Raises:
        MutationError: It is not known which.
    """
    node = graph.producer(value)
    if node is None:
        raise MutationError(f"{path}: {value} cannot be made zero by parameters of the block", site=path)
    site = f"{path}:{node.name}"
    operation = node.operation
    if operation.kind == "attribute":
        return [join(path, operation.target)]
    child = model.definition(path).child(operation.target) if operation.kind == "module" else None
    below, name = join(path, operation.target), operation.target.rpartition(":")[2]
    if isinstance(child, Definition):
        return _zeroed_within(model, path, graph, node, child, child.forwards[operation.forward].eval.output)
    if name == "getitem" and isinstance(node.args[0], Value):
        producer = graph.producer(node.args[0])
        called = producer is not None and producer.operation.kind == "module"
        callee = model.definition(path).child(producer.operation.target) if producer is not None and called else None
        if producer is not None and isinstance(callee, Definition):
            output = callee.forwards[producer.operation.forward].eval.output
            item = output[node.args[1]] if isinstance(output, tuple) and type(node.args[1]) is int else output
            return _zeroed_within(model, path, graph, producer, callee, item)
    if child is not None and child.type in _LAYERS:
        names = [name for name, item in state_of(child).items() if item.storage == "parameter"]
        if not names:
            raise MutationError(f"{site} has no parameters that could be zero", site=site)
        return [join(below, name) for name in names]
    if child is not None and child.type == "MultiheadAttention":
        return [join(below, f"out_proj.{name}") for name in ("weight", "bias") if f"out_proj.{name}" in state_of(child)]
    if child is None and name == "mul":
        weights = [item for item in node.inputs if _is_parameter(graph, item)]
        return _zeroed(model, path, graph, weights[0] if weights else node.inputs[0])
    passes = activation_of(operation, child) in _ZERO_AT_ZERO or (
        child.type.startswith(("Dropout", "Identity")) if child is not None else name in _MOVING
    )
    if not passes or not node.inputs or (name != "mul" and child is None and node.args[:1] != node.inputs[:1]):
        raise MutationError(f"{site}: it is not known how {operation} becomes zero", site=site)
    return _zeroed(model, path, graph, node.inputs[0])


def _zeroed_within(
    model: Rewriter, path: str, graph: Graph, node: Node, child: Definition, output: object
) -> list[str]:
    """Return what has to be zero for a part of what a definition returns to be zero."""
    inner = child.forwards[node.operation.forward].eval
    if not isinstance(output, Value):
        raise MutationError(f"{path}:{node.name} returns several values, or none", site=f"{path}:{node.name}")
    if inner.producer(output) is not None:
        return _zeroed(model, join(path, node.operation.target), inner, output)
    place = [item.name for item in inner.inputs].index(output.name)  # it returns what it is given
    given = node.kwargs.get(output.name, node.args[place] if place < len(node.args) else None)
    if not isinstance(given, Value):
        raise MutationError(f"{path}:{node.name} returns a constant", site=f"{path}:{node.name}")
    return _zeroed(model, path, graph, given)


def _is_parameter(graph: Graph, value: Value) -> bool:
    producer = graph.producer(value)
    return producer is not None and producer.operation.kind == "attribute"
