"""From a leaf module back to the call of its constructor.

For modules of torch.nn the attributes as they are now win, since models change stride or momentum after construction;
what was recorded at construction is the fall-back, and the source for everybody else's classes. Either way the call is
replayed, and compared with the module, before it is believed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from graphnas.errors import GraphNASError, TraceError
from graphnas.ir.literal import Construction, FrozenDict, Symbol, freeze
from graphnas.ir.lru import LRU
from graphnas.ir.module import ModuleSpec
from graphnas.ir.record import RECORD, Record, record_of
from graphnas.ir.resolve import instantiate, path_of
from graphnas.ir.trace.admit import wrapped_by
from graphnas.ir.trace.imported import is_made_up
from graphnas.ir.trace.wrappers import own_class, wrappers_of

_MISSING = object()

_Reader = Callable[[Any], Any]
_READERS: Mapping[type[nn.Module], Mapping[str, _Reader]] = {
    nn.MultiheadAttention: {
        "bias": lambda m: m.in_proj_bias is not None,
        "add_bias_kv": lambda m: m.bias_k is not None,
    },
    nn.TransformerEncoderLayer: {
        "d_model": lambda m: m.self_attn.embed_dim,
        "nhead": lambda m: m.self_attn.num_heads,
        "dim_feedforward": lambda m: m.linear1.out_features,
        "dropout": lambda m: m.dropout.p,
        "layer_norm_eps": lambda m: m.norm1.eps,
        "batch_first": lambda m: m.self_attn.batch_first,
        "bias": lambda m: m.linear1.bias is not None,
    },
    nn.TransformerDecoderLayer: {
        "d_model": lambda m: m.self_attn.embed_dim,
        "nhead": lambda m: m.self_attn.num_heads,
        "dim_feedforward": lambda m: m.linear1.out_features,
        "dropout": lambda m: m.dropout.p,
        "layer_norm_eps": lambda m: m.norm1.eps,
        "batch_first": lambda m: m.self_attn.batch_first,
        "bias": lambda m: m.linear1.bias is not None,
    },
    nn.TransformerEncoder: {"encoder_layer": lambda m: m.layers[0]},
    nn.TransformerDecoder: {"decoder_layer": lambda m: m.layers[0]},
    nn.RNN: {"nonlinearity": lambda m: m.mode.removeprefix("RNN_").lower()},
    nn.Unflatten: {},
}
"""Constructor arguments that are not kept under their own name."""

_RECURRENT = ("num_layers", "bias", "batch_first", "dropout", "bidirectional")
_VARIADIC: Mapping[type[nn.Module], tuple[tuple[str, ...], tuple[str, ...]]] = {
    nn.RNN: (("input_size", "hidden_size"), (*_RECURRENT, "nonlinearity")),
    nn.LSTM: (("input_size", "hidden_size"), (*_RECURRENT, "proj_size")),
    nn.GRU: (("input_size", "hidden_size"), _RECURRENT),
    nn.Identity: ((), ()),
}
"""Positional and optional arguments of constructors that take `*args`, by the names of the attributes."""


def is_torch_leaf(module: nn.Module) -> bool:
    """Tell whether a module is of a class of torch's own that is called as it is."""
    kind = own_class(module)
    if not kind.__module__.startswith("torch.") or kind in CONTAINERS or kind is ParametrizationList:
        return False
    if is_made_up(module):
        return False
    # What was given a forward of its own, or only calls what it wraps, is not as its class says.
    if "forward" in vars(module) or wrapped_by(module) is not None:
        return False
    return kind is type(module) or wrappers_of(module) is not None


CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Classes of torch that hold modules or parameters, and are rebuilt from what they hold."""


def spec_of(module: nn.Module, path: str, *, opaque: bool = False) -> ModuleSpec:
    """Return the constructor call that builds a leaf like `module`.

    Args:
        module: The leaf.
        path: Where it stands, for messages.
        opaque: Whether it is a leaf only because it could not be traced.

    Raises:
        TraceError: Its arguments are not known, cannot be written as literals, or do not lead to a module like it.
    """
    written = getattr(type(module), "__graphnas_leaf__", None)  # graphnas.ir.protocols.Written
    if written is not None:
        spec: ModuleSpec = written(module)
        return spec
    content = None if opaque else _content(module)
    known = _SPECS.get(content)
    if known is not None:
        return known
    record = record_of(module)
    kind = own_class(module)
    wrappers = wrappers_of(module)
    try:
        target = path_of(kind)
    except GraphNASError as error:
        raise TraceError(f"{_named(module, path)}: {error}", module=path) from None
    attempts: list[Callable[[], ModuleSpec]] = []
    if is_torch_leaf(module):
        attempts.append(lambda: _from_attributes(module, target, path, _short, kind))
        attempts.append(lambda: _from_attributes(module, target, path, _whole, kind))

    def recorded() -> ModuleSpec:
        assert record is not None, "it is an attempt only then"
        return _from_record(module, target, record)

    if record is not None:
        attempts.append(recorded)
    if not attempts and not list(module.parameters(recurse=True)) and _takes_nothing(kind):
        attempts.append(lambda: ModuleSpec(target))
    reason = "its constructor arguments were not recorded"
    for attempt in attempts:
        try:
            if wrappers is None:
                raise ValueError("it has hooks or parametrisations of its own")
            spec = replace(attempt(), wrappers=wrappers)
            reason = _difference(module, spec)
        except (GraphNASError, TypeError, ValueError, AttributeError, KeyError) as error:
            reason = str(error)
        if not reason:
            spec = replace(spec, frozen=_frozen(module), opaque=opaque)
            if attempt is not recorded:
                _SPECS.put(content, spec)
            return spec
    raise TraceError(
        f"{_named(module, path)}: the call of its constructor could not be found out: {reason}; construct the model "
        "inside `with graphnas.recording():` or decorate its class with @graphnas.model_wrapper",
        module=path,
    )


_SPECS: LRU[ModuleSpec] = LRU(8192)
"""Leaves found by their attributes, by what they hold."""

_BARE = frozenset(vars(nn.Module()))
_COMPARED = (int, float, bool, str, type(None), torch.dtype)


def _content(module: nn.Module) -> Any:
    """Return a key of all that the attributes of a leaf of torch say, None if they do not say it in plain values."""
    if module._modules or module._forward_pre_hooks or not is_torch_leaf(module):
        return None
    held: list[Any] = [type(module)]
    for name, value in vars(module).items():
        if name in _BARE or name == RECORD:
            continue
        kind = type(value)
        if kind is tuple and all(type(item) in _COMPARED for item in value):
            held.append((name, kind, tuple(map(type, value)), value))
        elif kind in _COMPARED or inspect.isroutine(value):
            held.append((name, kind, value))
        else:
            return None
    for tensors in (module._parameters, module._buffers):
        for name, tensor in tensors.items():
            if tensor is None:
                held.append((name, None))
            elif nn.parameter.is_lazy(tensor):
                return None
            else:
                held.append((name, tensor.shape, tensor.dtype, tensor.requires_grad))
    held.append(tuple(name for name in module._buffers if name in module._non_persistent_buffers_set))
    return tuple(held)


def base_of(module: nn.Module, path: str) -> ModuleSpec | None:
    """Return the constructor call of the class of torch that a module's class derives from.

    None if it derives from `nn.Module` or a container only, or where the call cannot be shown to create what the module
    has: every parameter and buffer of the base must be there, and of the same shape and dtype.
    """
    kind = next((cls for cls in type(module).__mro__ if cls.__module__.startswith("torch.")), nn.Module)
    if kind is nn.Module or kind in CONTAINERS or kind is type(module) or own_class(module) is not type(module):
        return None
    try:
        target = path_of(kind)
        spec = _from_attributes(module, target, path, _shortest, kind)
        created = instantiate(spec, "meta")
    except (GraphNASError, TypeError, ValueError, AttributeError, KeyError):
        return None
    if not target.startswith("torch.nn:") or created._modules:
        return None
    for name, tensor in (*created._parameters.items(), *created._buffers.items()):
        mine = module._parameters.get(name, module._buffers.get(name))
        if tensor is not None and (mine is None or (mine.shape, mine.dtype) != (tensor.shape, tensor.dtype)):
            return None
    frozen = tuple(name for name in _frozen(module) if name in created._parameters)
    return ModuleSpec(spec.target, spec.args, spec.kwargs, frozen)


def _from_attributes(
    module: nn.Module, target: str, path: str, write: Callable[[Any], Any], kind: type[nn.Module]
) -> ModuleSpec:
    readers = next((_READERS[base] for base in kind.__mro__ if base in _READERS), {})
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for parameter in _parameters(kind):
        if parameter.kind is parameter.VAR_POSITIONAL:
            required, others = _VARIADIC[kind]
            args += [getattr(module, name) for name in required]
            optional |= {name: _read(module, name, readers) for name in others}
            continue
        if parameter.kind is parameter.VAR_KEYWORD or parameter.name.startswith("_") or parameter.name == "device":
            continue
        value = _read(module, parameter.name, readers)
        if parameter.default is parameter.empty:
            if value is _MISSING:
                raise ValueError(f"torch.nn keeps no attribute for its argument {parameter.name!r}")
            if len(args) < 2:
                args.append(write(value))
            else:
                kwargs[parameter.name] = write(value)
        elif value is not _MISSING:
            optional[parameter.name] = value
    spec = _frozen_spec(target, args, kwargs, path)
    baseline = _baseline(spec)
    for name, value in optional.items():
        written = write(value)
        default = _read(baseline, name, readers)
        if not _same(default, value) and not (write is _shortest and _same(write(default), written)):
            kwargs[name] = written
    return _frozen_spec(target, args, kwargs, path)


def _frozen_spec(target: str, args: list[Any], kwargs: dict[str, Any], path: str) -> ModuleSpec:
    def literal(value: Any) -> Any:
        if inspect.isroutine(value):
            return Symbol(path_of(value))
        if not isinstance(value, nn.Module):
            return freeze(value)
        spec = spec_of(value, path)
        if spec.wrappers:
            raise ValueError(f"an argument of it, a {spec.type}, is reparametrised")
        return Construction(spec.target, spec.args, spec.kwargs)

    return ModuleSpec(
        target, tuple(map(literal, args)), FrozenDict((name, literal(value)) for name, value in kwargs.items())
    )


def _from_record(module: nn.Module, target: str, record: Record) -> ModuleSpec:
    return _frozen_spec(target, list(record.args), dict(record.kwargs), "")


def _read(module: nn.Module, name: str, readers: Mapping[str, _Reader]) -> Any:
    if name in readers:
        return readers[name](module)
    if name == "bias" and not isinstance(getattr(module, "bias", _MISSING), bool):
        return getattr(module, "bias", None) is not None if hasattr(module, "bias") else _MISSING
    if name == "dtype":
        tensors = [*module.parameters(), *module.buffers()]
        floating = [tensor.dtype for tensor in tensors if tensor.is_floating_point() or tensor.is_complex()]
        return floating[0] if floating and floating[0] is not torch.get_default_dtype() else None
    return getattr(module, name, _MISSING)


def _short(value: Any) -> Any:
    """Return `(3, 3)` as `3`, the way people write it."""
    if isinstance(value, (tuple, torch.Size)) and value and len(set(map(repr, value))) == 1 and len(value) <= 3:
        return value[0]
    return _whole(value)


def _shortest(value: Any) -> Any:
    """Return `[3, 3]` as `3` as well: models put lists where torch has tuples."""
    return _short(tuple(value) if isinstance(value, list) else value)


def _whole(value: Any) -> Any:
    return tuple(value) if isinstance(value, torch.Size) else value


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a is b or bool(a == b))


_PARAMETERS: LRU[tuple[inspect.Parameter, ...]] = LRU(1024)


def _parameters(kind: type[nn.Module]) -> tuple[inspect.Parameter, ...]:
    known = _PARAMETERS.get((kind,))
    if known is None:
        # That of nn.Module takes anything, and passes it on to nobody.
        has_own = kind.__init__ is not nn.Module.__init__
        known = tuple(inspect.signature(kind).parameters.values()) if has_own else ()
        _PARAMETERS.put((kind,), known)
    return known


def _takes_nothing(kind: type[nn.Module]) -> bool:
    try:
        inspect.signature(kind).bind()
    except (TypeError, ValueError):
        return False
    return True


@lru_cache(maxsize=1024)
def _baseline(spec: ModuleSpec) -> nn.Module:
    """Return the module with required arguments only; what it has by default need not be written."""
    return instantiate(spec, "meta")


_Shapes = tuple[tuple[str, torch.Size, torch.dtype], ...]


@lru_cache(maxsize=4096)
def _replayed(spec: ModuleSpec) -> tuple[str, _Shapes]:
    module = instantiate(spec, "meta")
    return module.extra_repr(), _state(module)


def _state(module: nn.Module) -> _Shapes:
    return tuple((name, value.shape, value.dtype) for name, value in module.state_dict(keep_vars=True).items())


def _difference(module: nn.Module, spec: ModuleSpec) -> str:
    """Return in what a replayed module differs from the original, the empty string if in nothing."""
    text, state = _replayed(spec)
    if text != module.extra_repr():
        return f"replayed, it reads ({text}), expected ({module.extra_repr()})"
    if state != _state(module):
        return "replayed, its parameters have other names, shapes or dtypes"
    return ""


def _frozen(module: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, parameter in module.named_parameters() if not parameter.requires_grad)


def _named(module: nn.Module, path: str) -> str:
    return f"{type(module).__name__} at {path!r}" if path else type(module).__name__


def depends_on_mode(kind: type[nn.Module]) -> bool:
    """Tell whether modules of a class of torch may behave differently in train mode, by whether their code asks."""
    bases = [base for base in kind.__mro__ if issubclass(base, nn.Module) and base is not nn.Module]
    functions = [item for base in bases for item in vars(base).values() if inspect.isfunction(item)]
    return any("training" in function.__code__.co_names for function in functions)
