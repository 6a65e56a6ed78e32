"""The tape: what happened to tensors while modules were constructed.

Every call that torch sees is written down, with the module whose constructor was running and the moment. What leaves do
inside their own constructors is theirs, and is not on the tape. `graphnas.ir.describe` reads it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from graphnas.ir.calls import is_getter, is_impure
from graphnas.ir.graph import ITEM
from graphnas.ir.source import current_place

INIT_MODULE = "torch.nn.init"

_ALIASES = frozenset({"detach", "requires_grad_", "data"})
_IGNORED = frozenset({"_set_grad_enabled", "__set__", "requires_grad_"})
_INITIALISERS = {name.strip("_"): name for name in vars(nn.init) if name.endswith("_") and not name.startswith("_")}
"""Functions of `torch.nn.init`, by their names without underscores."""


@dataclass(frozen=True)
class Entry:
    """One call that torch saw.

    Attributes:
        function: What was called.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
        storage: Identity of the storage that it changed, 0 if it changed none.
        moment: When it happened: later calls and constructions have larger numbers.
        owner: The module whose constructor was running, None outside of any.
        hint: The variable that took the result in the user's source, or the empty string; of a list, with `ITEM`.
        location: File and line of the user's source.
        init: Name of the function of `torch.nn.init`, if it is one. Packages replace these functions by their own.
        by_base: Whether a constructor of torch did it, for a class that derives from the constructor's own.
        by_wrapper: Whether `weight_norm` or another function that torch has for parameters of a module did it.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    storage: int
    moment: int
    owner: nn.Module | None
    hint: str = ""
    location: str = ""
    init: str = ""
    by_base: bool = False
    by_wrapper: bool = False

    @property
    def given(self) -> tuple[torch.Tensor, ...]:
        """The tensors among its arguments, those within lists and dictionaries included."""
        return (*tensors_in(self.args), *tensors_in(self.kwargs))


class Tape(TorchFunctionMode):
    """Writes down the calls of torch in a `with` block; tensors are kept, so that identities stay unique."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []
        self.producers: dict[int, tuple[int, tuple[int, ...]]] = {}
        self.elements: dict[int, int] = {}
        self.constructions: dict[int, int] = {}
        self._moment = 0
        self._pauses = 0
        self._frame: FrameType | None = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Write nothing down meanwhile."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not self._pauses:
            self._write(func, args, kwargs, result)
        return result

    def construct(self, module: nn.Module) -> None:
        """Note when the construction of a module begins."""
        self.constructions[id(module)] = self._next_moment()

    def finish(self) -> None:
        """Let go of the frame that was kept to recognise calls of `torch.nn.init`."""
        self._frame = None

    def _next_moment(self) -> int:
        self._moment += 1
        return self._moment

    def _write(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        field = is_getter(function)
        name = field or getattr(function, "__name__", "")
        if name in _IGNORED or (field and field not in ("data", "T", "mT", "real", "imag")):
            return
        caller = _caller()
        if self._frame is not None and self._frame in caller.initialisers:
            return  # a further step of an initialiser that is on the tape already
        call = next((found for frame in caller.initialisers if (found := _initialiser_call(frame))), None)
        self._frame = None if call is None else call.frame
        init = ""
        if call is not None:
            init, function, args, kwargs = call.name, vars(nn.init)[call.name], call.args, call.kwargs
        elif getattr(function, "__module__", "") == INIT_MODULE:
            init = name
            args, kwargs = bound(function, args, kwargs)
        changed = _changed(function, args, kwargs)
        if changed is None and not any(isinstance(item, torch.Tensor) for item in flat(result)):
            return
        moment = self._next_moment()
        if name in _ALIASES and changed is None and id(args[0]) in self.producers:
            self.producers[id(result)] = self.producers[id(args[0])]
            self.entries.append(Entry(function, args, kwargs, result, 0, moment, caller.owner))
            return
        index = len(self.entries)
        changed_storage = 0 if changed is None else storage(changed)
        place = current_place()
        self.entries.append(
            Entry(
                function,
                args,
                kwargs,
                result,
                changed_storage,
                moment,
                caller.owner,
                f"{place.appended}{ITEM}" if place.appended else place.target,
                place.location,
                init,
                caller.by_base,
                caller.by_wrapper,
            )
        )
        if changed is None:
            given = {id(tensor) for tensor in (*tensors_in(args), *tensors_in(kwargs))}
            for position, tensor in _positions(result):
                if id(tensor) not in given:  # `x.to(x.dtype)` is `x`
                    self.producers[id(tensor)] = (index, position)
                    if not nn.parameter.is_lazy(tensor):  # it has no elements yet
                        self.elements[id(tensor)] = tensor.numel()


def storage(tensor: torch.Tensor) -> int:
    """Return the identity of a tensor's storage, the same for all views of it; 0 as long as it has none."""
    if nn.parameter.is_lazy(tensor):
        return 0
    return int(tensor.untyped_storage()._cdata)


def flat(value: Any) -> tuple[Any, ...]:
    """Return the items of what an operation returned, one or several."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)


class _Caller(NamedTuple):
    """Who called torch: running functions that may be initialisers, outermost first, and whose constructor it was."""

    initialisers: tuple[FrameType, ...]
    owner: nn.Module | None
    by_base: bool
    by_wrapper: bool


def _caller() -> _Caller:
    initialisers: list[FrameType] = []
    in_user_code = by_wrapper = False
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        code = frame.f_code
        home = str(frame.f_globals.get("__name__", ""))
        is_torch = home.startswith("torch.")
        if home == INIT_MODULE or (not is_torch and code.co_name.strip("_") in _INITIALISERS):
            initialisers.insert(0, frame)
        elif code.co_name == "__init__" and code.co_argcount:
            owner = frame.f_locals.get(code.co_varnames[0])
            if isinstance(owner, nn.Module):
                return _Caller(tuple(initialisers), owner, is_torch and not in_user_code, by_wrapper)
        by_wrapper = by_wrapper or (home.startswith("torch.nn.utils.") and not in_user_code)
        in_user_code = in_user_code or not (is_torch or home.startswith("graphnas."))
        frame = frame.f_back
    return _Caller(tuple(initialisers), None, False, by_wrapper)


class _InitialiserCall(NamedTuple):
    """A running call that does what a call of `torch.nn.init` does."""

    frame: FrameType
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def _initialiser_call(frame: FrameType) -> _InitialiserCall | None:
    """Return the call of `torch.nn.init` that a running function is, or does the same as; None if there is none.

    Packages have their own copies of `trunc_normal_` and the like. Whether one does the same is found out by trying
    both on a small tensor.
    """
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    own = frame.f_globals.get("__name__") == INIT_MODULE
    name = code.co_name if own else _INITIALISERS[code.co_name.strip("_")]
    function = vars(nn.init).get(name)
    if function is None or not names:
        return None
    given = {name: frame.f_locals.get(name) for name in names}
    if not own:
        tensor = given.get("tensor")
        options = {key: value for key, value in given.items() if key != "tensor"}
        if not isinstance(tensor, torch.Tensor) or set(given) - set(inspect.signature(function).parameters):
            return None
        if not _does_the_same(code, frame.f_globals, name, options, tensor):
            return None
    return _InitialiserCall(frame, name, *bound(function, (), given))


_TRIED: dict[tuple[Any, ...], bool] = {}
_MOST_TRIED = 4096


def _does_the_same(
    code: CodeType, home: dict[str, Any], name: str, options: dict[str, Any], tensor: torch.Tensor
) -> bool:
    """Tell whether a function changes a tensor, and draws random numbers, as the one of `torch.nn.init` does."""
    if code.co_freevars or not all(isinstance(value, (int, float, str, type(None))) for value in options.values()):
        return False
    key = (code, name, tuple(options.items()), tensor.dim(), tensor.dtype)
    if key not in _TRIED:
        if len(_TRIED) >= _MOST_TRIED:
            _TRIED.clear()
        results: list[tuple[Any, float | None]] = []
        generator = torch.default_generator
        with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.device("cpu"):
            for function in (FunctionType(code, home), vars(nn.init)[name]):
                sample = torch.zeros(tuple(range(3, 3 + tensor.dim())), dtype=tensor.dtype)
                generator.manual_seed(0)
                try:
                    function(tensor=sample, **options)
                except Exception as error:  # whatever a user's function raises, it is not the same
                    results.append((type(error), None))
                    continue
                results.append((sample.flatten().tolist(), torch.rand(1).item()))
        _TRIED[key] = results[0] == results[1] and results[0][1] is not None
    return _TRIED[key]


def bound(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call: required ones by position, others by keyword, defaults left out."""
    signature = inspect.signature(function)
    given = signature.bind(*args, **kwargs).arguments
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    required = tuple(value for name, value in given.items() if defaults[name] is inspect.Parameter.empty)
    others = list(given.items())[len(required) :]
    return required, {name: value for name, value in others if not _is_default(value, defaults[name])}


def _is_default(value: Any, default: Any) -> bool:
    numbers = type(value) in (int, float) and type(default) in (int, float)
    return (numbers or type(value) is type(default)) and bool(value == default)


def _changed(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """Return the tensor that a call changes, None if it changes none."""
    if isinstance(kwargs.get("out"), torch.Tensor):
        return kwargs["out"]  # type: ignore[no-any-return]  # just tested
    if args and isinstance(args[0], torch.Tensor) and is_impure(function, kwargs):
        return args[0]
    return None


def _positions(result: Any) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
    if isinstance(result, torch.Tensor):
        yield (), result
    elif isinstance(result, (tuple, list)):
        for index, item in enumerate(result):
            if isinstance(item, torch.Tensor):
                yield (index,), item
