"""Where the modules of a decided model stand in the open one, so that weights go from one to the other."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from graphnas.ir.record import ORIGIN

_REPEAT = "*"


def mark_candidate(module: nn.Module, label: str, name: str) -> None:
    """Note that a module is the candidate of that name."""
    known: tuple[tuple[str, str], ...] = vars(module).get(ORIGIN, ())
    if (label, name) not in known:  # a module may be a candidate of several choices of one label
        vars(module)[ORIGIN] = ((label, name), *known)


def mark_repeat(module: nn.Module) -> None:
    """Note that a module holds the first blocks of a longer chain."""
    vars(module)[ORIGIN] = ((_REPEAT, _REPEAT),)


@contextmanager
def original_state_dict_hooks(model: nn.Module) -> Iterator[None]:
    """Give a decided model the names of the open model in its `state_dict`, in a block, for saving and loading.

    `state_dict` then has the names of the open model (`op.conv.weight` for `op.weight`), and `load_state_dict` takes
    them. What the open model has besides, candidates that were not chosen and deeper blocks, is passed over, so weights
    can be loaded strictly: a name that is really missing is an error. Shapes must agree.

    >>> from graphnas import LayerChoice, fixed_arch, model_wrapper
    >>> @model_wrapper
    ... class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.op = LayerChoice({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 1)}, label="op")
    >>> supernet = Net()
    >>> with fixed_arch({"op": "a"}):
    ...     net = Net()
    >>> with original_state_dict_hooks(net):
    ...     _ = net.load_state_dict(supernet.state_dict())
    ...     list(net.state_dict()), bool((net.op.weight == supernet.op["a"].weight).all())
    (['op.a.weight'], True)
    """
    moves = _moves(model)

    def on_save(_: nn.Module, state: MutableMapping[str, Any], prefix: str, metadata: Any) -> None:
        for name in list(state):
            if name.startswith(prefix):
                state[prefix + _original(name[len(prefix) :], moves)] = state.pop(name)
        modules = getattr(state, "_metadata", {})
        for name in list(modules):
            if name.startswith(prefix):
                moved = _original(f"{name[len(prefix) :]}.", moves)[:-1]
                modules[prefix + moved] = modules.pop(name)

    def on_load(_: nn.Module, state: MutableMapping[str, Any], prefix: str, *others: Any) -> None:
        own = {f"{prefix}{name}": f"{prefix}{_original(name, moves)}" for name in _names(model)}
        found = {name: state[original] for name, original in own.items() if original in state}
        known = [f"{prefix}{path}." if path else prefix for path in moves]
        for name in list(state):
            # Below a choice, what is not chosen is passed over; elsewhere, a name that is left is unexpected.
            if name.startswith(prefix) and (name in own.values() or name.startswith(tuple(known))):
                del state[name]
        state.update(found)

    hooked: Any = model  # torch has not typed these two
    handles = (hooked.register_state_dict_post_hook(on_save), hooked.register_load_state_dict_pre_hook(on_load))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _moves(model: nn.Module) -> dict[str, str]:
    """Return path and what comes behind it in the open model, of every module that was decided."""
    found: dict[str, str] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        origin: tuple[tuple[str, str], ...] | None = vars(module).get(ORIGIN)
        if origin is not None:
            found[path] = ".".join(name for _, name in origin if name != _REPEAT)
    return found


def _original(name: str, moves: dict[str, str]) -> str:
    """Return a name of the decided model as the open model has it."""
    parts = name.split(".")
    moved: list[str] = []
    for length, part in enumerate(parts):
        inserted = moves.get(".".join(parts[:length]))
        moved += [inserted, part] if inserted else [part]
    return ".".join(moved)


def _names(model: nn.Module) -> list[str]:
    """Return the names of the tensors that a model loads."""
    named = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    for path, module in model.named_modules(remove_duplicate=False):
        own = (name for name in module._buffers if name not in module._non_persistent_buffers_set)
        named += [f"{path}.{name}" if path else name for name in own]
    return named
