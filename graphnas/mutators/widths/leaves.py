"""What leaves hold: the axes of their parameters and buffers, tied to the arguments of their constructors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from graphnas.errors import GraphNASError
from graphnas.ir.literal import Literal
from graphnas.ir.module import ModuleSpec
from graphnas.ir.resolve import resolve
from graphnas.ir.types import ScalarType
from graphnas.mutators.widths.axes import Axis, factor, fresh, joined, number, product, size_of, stiffen
from graphnas.mutators.widths.call import Call, Division, UnknownCall
from graphnas.mutators.widths.values import Abstract, Number, Place, Tensor

State = dict[str, Tensor]
"""Parameters and buffers of one module, by name."""

WIDTH_ARGUMENTS = ("out_channels", "out_features", "embedding_dim")
"""What the number of output channels is called in constructors."""


def leaf_kind(spec: ModuleSpec) -> str:
    """Return the class of torch.nn that a leaf is of, the empty string if it is of none."""
    module, _, name = spec.target.partition(":")
    return name if module == "torch.nn" or module.startswith("torch.nn.modules.") else ""


def arguments_of(path: str, spec: ModuleSpec) -> dict[str, Abstract]:
    """Return what a leaf is constructed with by the names of the parameters, defaults included."""
    try:
        bound = _signature(spec.target).bind(*spec.args, **spec.kwargs)
    except (GraphNASError, TypeError, ValueError):
        return {}
    bound.apply_defaults()
    given = dict(bound.arguments)
    listed = dict(zip(_RECURRENT, given.pop("args", ()), strict=False))
    found = {name: _argument(path, (name,), value) for name, value in (given.pop("kwargs", {}) | given).items()}
    return found | {name: _argument(path, (index,), value) for index, (name, value) in enumerate(listed.items())}


_RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size")
"""Parameters of recurrent layers, whose signature says `*args`."""


@lru_cache(maxsize=1024)
def _signature(target: str) -> inspect.Signature:
    kind: Any = resolve(target)
    return inspect.signature(kind)


def _argument(path: str, keys: tuple[int | str, ...], value: Literal) -> Abstract:
    if isinstance(value, tuple):
        return tuple(_argument(path, (*keys, index), item) for index, item in enumerate(value))
    place = Place(path, "argument", 0, "", keys) if type(value) is int else None
    return Number(value, None, place)


def state_of(
    path: str,
    spec: ModuleSpec,
    arguments: Mapping[str, Abstract],
    places: dict[Place, Axis],
    divisions: list[Division],
) -> State | None:
    """Return the parameters and buffers of a leaf, None if its class is not known here."""
    make = _STATES.get(leaf_kind(spec))
    if make is None:
        return None
    call = Call(path, spec.type, (), dict(arguments), ScalarType(None), places, divisions)
    try:
        return make(call)
    except (UnknownCall, KeyError):
        return None


def _is_set(call: Call, name: str) -> bool:
    return call.value(0, name, True) is not False


def _linear(call: Call) -> State:
    out, given = (call.axis_of(call.kwargs[name]) for name in ("out_features", "in_features"))
    return {"weight": Tensor((out, given))} | ({"bias": Tensor((out,))} if _is_set(call, "bias") else {})


def _convolution(call: Call) -> State:
    is_transposed = "Transpose" in call.name
    groups = call.integer(0, "groups", 1)
    names = ("in_channels", "out_channels") if is_transposed else ("out_channels", "in_channels")
    whole, other = (call.kwargs[name] for name in names)
    first = call.axis_of(whole)
    second = call.axis_of(other) if groups == 1 else fresh(call.integer(0, names[1]) // groups)
    if groups > 1:
        count, inside = factor(first, size_of(first) // groups, call.why)
        call.require(call.kwargs["groups"], count)
        if size_of(inside) * size_of(second) > 1:  # a depthwise convolution has no groups to keep
            stiffen(count)
        call.require(other, product([count, second]))
    size = call.value(0, "kernel_size")
    kernel = size if isinstance(size, tuple) else (size,) * int(call.name[-2])
    weight = Tensor((first, second, *map(number, kernel)))
    out = call.axis_of(call.kwargs["out_channels"])
    return {"weight": weight} | ({"bias": Tensor((out,))} if _is_set(call, "bias") else {})


def _batch_norm(call: Call) -> State:
    channels = Tensor((call.axis_of(call.kwargs["num_features"]),))
    found: State = {}
    if _is_set(call, "affine"):
        found |= {"weight": channels, "bias": channels}
    if _is_set(call, "track_running_stats"):
        found |= {"running_mean": channels, "running_var": channels, "num_batches_tracked": Tensor(())}
    return found


def _layer_norm(call: Call) -> State:
    shape = call.kwargs["normalized_shape"]
    sizes = shape if isinstance(shape, tuple) else (shape,)
    weight = Tensor(tuple(call.axis_of(size) for size in sizes))
    if not _is_set(call, "elementwise_affine"):
        return {}
    return {"weight": weight} | ({"bias": weight} if call.name == "LayerNorm" and _is_set(call, "bias") else {})


def _group_norm(call: Call) -> State:
    channels = Tensor((call.axis_of(call.kwargs["num_channels"]),))
    call.divide(channels.axes[0], call.kwargs["num_groups"])
    return {"weight": channels, "bias": channels} if _is_set(call, "affine") else {}


def _embedding(call: Call) -> State:
    rows, channels = (call.axis_of(call.kwargs[name]) for name in ("num_embeddings", "embedding_dim"))
    call.fix(rows, "the rows of an embedding are what the model is given")
    return {"weight": Tensor((rows, channels))}


def _prelu(call: Call) -> State:
    return {"weight": Tensor((call.axis_of(call.kwargs["num_parameters"]),))}


def _recurrent(call: Call) -> State:
    """Return the state of an RNN; its gates stand one after the other."""
    if call.value(0, "proj_size", 0):
        raise UnknownCall
    given, hidden = (call.axis_of(call.kwargs[name]) for name in ("input_size", "hidden_size"))
    gates = Tensor((joined([hidden] * {"LSTM": 4, "GRU": 3}.get(call.name, 1)),))
    sides = ("", "_reverse") if call.value(0, "bidirectional") else ("",)
    found: State = {}
    for layer in range(call.integer(0, "num_layers", 1)):
        below = given if layer == 0 else joined([hidden] * len(sides))
        for side in sides:
            name = f"l{layer}{side}"
            found |= {f"weight_ih_{name}": Tensor((*gates.axes, below))}
            found |= {f"weight_hh_{name}": Tensor((*gates.axes, hidden))}
            if _is_set(call, "bias"):
                found |= {f"bias_ih_{name}": gates, f"bias_hh_{name}": gates}
    return found


def _attention(call: Call) -> State:
    width = call.axis_of(call.kwargs["embed_dim"])
    if any(call.value(0, name) not in (None, size_of(width)) for name in ("kdim", "vdim")):
        raise UnknownCall
    heads, _ = factor(width, size_of(width) // call.integer(0, "num_heads"), call.why)
    call.require(call.kwargs["num_heads"], heads)
    three = joined([width] * 3)
    found = {"in_proj_weight": Tensor((three, width)), "out_proj.weight": Tensor((width, width))}
    if _is_set(call, "bias"):
        found |= {"in_proj_bias": Tensor((three,)), "out_proj.bias": Tensor((width,))}
    return found


_STATES: dict[str, Callable[[Call], State]] = {
    "Linear": _linear,
    **{f"{name}{rank}d": _convolution for name in ("Conv", "ConvTranspose") for rank in (1, 2, 3)},
    **{f"{name}{rank}d": _batch_norm for name in ("BatchNorm", "InstanceNorm") for rank in (1, 2, 3)},
    "SyncBatchNorm": _batch_norm,
    "LayerNorm": _layer_norm,
    "RMSNorm": _layer_norm,
    "GroupNorm": _group_norm,
    "Embedding": _embedding,
    "PReLU": _prelu,
    "MultiheadAttention": _attention,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
}
