"""Recording: what constructors were called with, and how tensors were initialised, while a model is built.

Two hooks touch torch, and nothing else does: a pass-through `nn.Module.__new__`, installed once, that keeps the
arguments of every module that is constructed while a recorder is active; and, only while one is, a wrapper around the
`__init__` of leaf classes that sees through choices given as arguments (`graphnas.ir.protocols.Resolvable`). What
happens to tensors is observed by a `TorchFunctionMode` (`graphnas.ir.tape`).
"""

from __future__ import annotations

import io
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, wraps
from typing import Any, TypeVar, overload

import torch
from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.context import ContextStack, ModelNamespace
from graphnas.ir.describe import Findings, describe
from graphnas.ir.tape import Tape

_M = TypeVar("_M", bound=type[nn.Module])

RECORD = "_graphnas_record"
"""Attribute of a module under which its record is kept."""

ORIGIN = "_graphnas_origin"
"""Attribute of a decided module under which is kept where it stands in the open model."""

_BASIC_UNIT = "_graphnas_basic_unit"
_WRAPPED = "_graphnas_model"


@dataclass
class Record:
    """What is known of the construction of one module.

    Attributes:
        cls: The class.
        args: Positional arguments of its constructor.
        kwargs: Keyword arguments of its constructor.
        findings: How its tensors came about.
        attributes: Its own attributes at the end of its construction: tensors, the keys of dictionaries, and of others
            whether they were None.
    """

    cls: type[nn.Module]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    attributes: Mapping[str, torch.Tensor | tuple[Any, ...] | bool] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Record:
        # Copies of a module were constructed like the original, and their tensors are copies of its tensors: that is
        # found out of each. The arguments are not theirs to copy.
        return replace(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # A module that can be pickled must not lose that by having been recorded with a lambda, say.
        args = tuple(arg if _is_picklable(arg) else NotKept(repr(arg)) for arg in self.args)
        kwargs = {name: arg if _is_picklable(arg) else NotKept(repr(arg)) for name, arg in self.kwargs.items()}
        return Record, (self.cls, args, kwargs, self.findings)


@dataclass(frozen=True)
class NotKept:
    """Stands for an argument of a constructor that could not be pickled with its module."""

    text: str


class _Trial(pickle.Pickler):
    """Finds out whether an argument can be pickled; modules and tensors in it are pickled with the module itself."""

    def persistent_id(self, value: Any) -> str | None:
        return "" if isinstance(value, (nn.Module, torch.Tensor)) else None


def _is_picklable(value: Any) -> bool:
    try:
        _Trial(io.BytesIO()).dump(value)
    except Exception:  # whatever a user's object raises
        return False
    return True


def record_of(module: nn.Module) -> Record | None:
    """Return the record of a module, None if it was not constructed while recording."""
    return vars(module).get(RECORD)


class _Recorder:
    """Collects the modules constructed in one `recording` block, and what happens to their tensors."""

    def __init__(self) -> None:
        self.modules: list[weakref.ref[nn.Module]] = []
        self.tape = Tape()

    def created(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        vars(module)[RECORD] = Record(type(module), args, kwargs)
        self.tape.construct(module)
        self.modules.append(weakref.ref(module))

    def finish(self) -> None:
        """Turn what was observed into plain data on the records."""
        alive = [module for ref in self.modules if (module := ref()) is not None]
        described = [module for module in alive if not is_leaf_class(type(module))]
        found = describe(self.tape, described, lambda module: is_leaf_class(type(module)))
        for module, findings in zip(described, found, strict=True):
            record = record_of(module)
            if record is not None:
                record.findings = findings
                record.attributes = record.attributes or _attributes(module)


OF_TORCH = frozenset(vars(nn.Module())) | {RECORD, ORIGIN}
"""Names of the attributes that every module has."""


def _attributes(module: nn.Module) -> dict[str, torch.Tensor | tuple[Any, ...] | bool]:
    def described(value: Any) -> torch.Tensor | tuple[Any, ...] | bool:
        if isinstance(value, torch.Tensor):
            return value
        return tuple(value) if type(value) is dict else value is None

    return {name: described(value) for name, value in vars(module).items() if name not in OF_TORCH}


_ACTIVE: ContextVar[_Recorder | None] = ContextVar("graphnas_recorder", default=None)


@contextmanager
def recording() -> Iterator[None]:
    """Record the construction of every module in this `with` block.

    A model built inside can be traced with its constructor arguments and initialisation, and its classes may take
    choices as arguments. Blocks may be nested, the outermost one counts.

    >>> with recording():
    ...     layer = nn.Linear(4, 2, bias=False)
    >>> record_of(layer).kwargs
    {'bias': False}
    """
    if _ACTIVE.get() is not None:
        yield
        return
    recorder = _Recorder()
    watch_constructors()
    token = _ACTIVE.set(recorder)
    try:
        with _seen_through(), recorder.tape, _namespace():
            yield
    finally:
        _ACTIVE.reset(token)
    recorder.finish()


@contextmanager
def recorded_so_far() -> Iterator[None]:
    """Put what was recorded on the modules, and record nothing in this `with` block."""
    recorder = _ACTIVE.get()
    if recorder is None:
        yield
        return
    recorder.finish()
    token = _ACTIVE.set(None)
    try:
        with recorder.tape.paused():
            yield
    finally:
        _ACTIVE.reset(token)


def model_wrapper(cls: _M) -> _M:
    """Class decorator: record the construction of every instance, so that it can be searched, traced and re-created.

    The class itself is returned, not a subclass; its constructor opens a `ModelNamespace` and a `recording` block.

    Raises:
        TypeError: It is no `nn.Module`, or already a wrapped model or basic unit.
    """
    _check_decorated(cls, "model_wrapper")
    construct = cls.__init__

    @wraps(construct)
    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it becomes the constructor
        _construct(cls, construct, self, args, kwargs)

    cls.__init__ = __init__  # type: ignore[method-assign]  # what a decorator of constructors is for
    setattr(cls, _WRAPPED, True)
    return cls


def _construct(
    cls: type, construct: Callable[..., None], module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Run the constructor that a wrapped class had.

    A function of this module, as the constructor that calls it counts as one of the user's module: in a notebook it is
    pickled by value, and what it refers to with it.
    """
    if vars(module).get(RECORD) is None:
        vars(module)[RECORD] = Record(type(module))
    record = vars(module)[RECORD]
    if type(module) is cls:
        record.args, record.kwargs = args, kwargs
    nested = _ACTIVE.get() is not None
    with ModelNamespace.enter(), recording():
        recorder = _ACTIVE.get()
        if recorder is not None and not nested:
            recorder.modules.append(weakref.ref(module))
        with _explained():
            construct(module, *args, **kwargs)


@contextmanager
def _explained() -> Iterator[None]:
    """Say what to write instead where an open choice was given to something that needs a value."""
    try:
        yield
    except TypeError as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        for value in trace.tb_frame.f_locals.values() if trace is not None else ():
            for item in (value, *(value if type(value) in (tuple, list) else getattr(value, "__dict__", {}).values())):
                # Torch and Python name the type of what they did not want.
                if hasattr(type(item), "__graphnas_refusal__") and type(item).__name__ in str(error):
                    raise DecisionError(item.__graphnas_refusal__(str(error))) from error
        raise


@overload
def basic_unit(cls: _M, basic_unit_tag: bool = True) -> _M: ...


@overload
def basic_unit(cls: None = None, basic_unit_tag: bool = True) -> Callable[[_M], _M]: ...


def basic_unit(cls: _M | None = None, basic_unit_tag: bool = True) -> _M | Callable[[_M], _M]:
    """Class decorator: keep instances whole. Tracing stops at them, and they are imported by generated source.

    Their constructors may take choices as arguments. Usable as `@basic_unit` and as
    `@basic_unit(basic_unit_tag=False)`: without the tag, arguments are recorded but tracing goes into the module.

    Raises:
        TypeError: It is no `nn.Module`, or already a wrapped model or basic unit.
    """
    if cls is None:
        return lambda actual: basic_unit(actual, basic_unit_tag)
    _check_decorated(cls, "basic_unit")
    cls.__init__ = _seeing_through(cls.__init__, leaf=basic_unit_tag)  # type: ignore[method-assign]  # as above
    setattr(cls, _BASIC_UNIT, basic_unit_tag)
    return cls


def is_basic_unit(cls: type[nn.Module]) -> bool:
    """Tell whether a class was decorated with `basic_unit` itself; a base class that was does not count."""
    return bool(vars(cls).get(_BASIC_UNIT, False))


def is_model_wrapped(cls: type[nn.Module]) -> bool:
    """Tell whether a class or one of its bases was decorated with `model_wrapper`."""
    return bool(getattr(cls, _WRAPPED, False))


def is_leaf_class(cls: type[nn.Module]) -> bool:
    """Tell whether instances of a class are leaves by default: classes of torch but its containers, and basic units."""
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
    return is_basic_unit(cls) or (cls.__module__.startswith("torch.") and cls not in containers)


def _check_decorated(cls: Any, decorator: str) -> None:
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"@{decorator} wants a subclass of torch.nn.Module, got {cls!r}; decorate the class of a model")
    for mark, name in ((_WRAPPED, "model_wrapper"), (_BASIC_UNIT, "basic_unit")):
        if mark in vars(cls):
            raise TypeError(f"{cls.__name__} is already decorated with @{name}; remove @{decorator}")


# The pass-through __new__

_NEW_LOCK = threading.Lock()


def watch_constructors() -> None:
    """Install the hook, once: from now on constructions are seen, and choices that nobody sees through are refused."""
    with _NEW_LOCK:
        if "__new__" not in vars(nn.Module):
            # Stays: deleting it again would leave object.__new__ refusing arguments.
            nn.Module.__new__ = staticmethod(_new)  # type: ignore[method-assign,assignment]  # the first hook


def _new(cls: type[nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    module: nn.Module = object.__new__(cls)
    recorder = _ACTIVE.get()
    if recorder is not None:
        recorder.created(module, args, kwargs)
    else:
        for argument in (*args, *kwargs.values()):
            if hasattr(type(argument), "__graphnas_resolve__"):
                _refuse_open(cls, argument)
    return module


def _refuse_open(cls: type[nn.Module], argument: Any) -> None:
    """Refuse an open choice that a class of torch is given while nothing records, before torch refuses its type."""
    if isinstance(argument, (int, float, str, tuple, list, nn.Module)) or not is_leaf_class(cls):
        return  # decided values are plain ones, and the user's own classes may know what to do
    raise DecisionError(
        f"nn.{cls.__name__} was given {argument!r:.100}, which only a recorded construction sees through; construct it "
        "in a class under @graphnas.model_wrapper, or in `with graphnas.recording():`"
    )


# Choices as arguments of leaves

_INIT_LOCK = threading.Lock()
_INIT_USERS = 0
_PLAIN_INITS: dict[type[nn.Module], Callable[..., None]] = {}


@contextmanager
def _seen_through() -> Iterator[None]:
    """Wrap the constructors of torch's leaf classes as long as any thread records."""
    global _INIT_USERS
    with _INIT_LOCK:
        _INIT_USERS += 1
        if _INIT_USERS == 1:
            for cls in _leaf_bases():
                _PLAIN_INITS[cls] = cls.__init__
                cls.__init__ = _leaf_seeing_through(cls.__init__)  # type: ignore[method-assign]  # undone below
    try:
        yield
    finally:
        with _INIT_LOCK:
            _INIT_USERS -= 1
            if _INIT_USERS == 0:
                for cls, construct in _PLAIN_INITS.items():
                    cls.__init__ = construct  # type: ignore[method-assign]  # as it was
                _PLAIN_INITS.clear()


@cache
def _leaf_bases() -> tuple[type[nn.Module], ...]:
    """Return the classes behind `torch.nn.*` that define a constructor, the base class and containers left out."""
    found: dict[type[nn.Module], None] = {}
    for public in vars(nn).values():
        if isinstance(public, type) and issubclass(public, nn.Module) and is_leaf_class(public):
            for base in public.__mro__:
                if base is nn.Module:
                    break
                if "__init__" in vars(base) and issubclass(base, nn.Module):
                    found[base] = None
    return tuple(found)


def _seeing_through(construct: Callable[..., None], *, leaf: bool) -> Callable[..., None]:
    @wraps(construct)
    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it becomes the constructor
        _construct_seeing_through(construct, leaf, self, args, kwargs)

    return __init__


def _construct_seeing_through(
    construct: Callable[..., None], leaf: bool, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Run the constructor of a leaf or a basic unit; apart from it for the reason of `_construct`."""
    recorder = _ACTIVE.get()
    if recorder is None:
        construct(module, *args, **kwargs)
        return
    args = tuple(_resolved(arg) for arg in args)
    kwargs = {name: _resolved(arg) for name, arg in kwargs.items()}
    if leaf and is_leaf_class(type(module)):
        with recorder.tape.paused():
            construct(module, *args, **kwargs)
    else:
        construct(module, *args, **kwargs)


@cache
def _leaf_seeing_through(construct: Callable[..., None]) -> Callable[..., None]:
    """Return the wrapper of a leaf's constructor: one for all recordings, as there are hundreds of such classes."""
    return _seeing_through(construct, leaf=True)


def _resolved(argument: Any) -> Any:
    """Return a constructor argument with every choice in it replaced by its plain value."""
    resolve = getattr(type(argument), "__graphnas_resolve__", None)  # quicker than asking a protocol, for each argument
    if resolve is not None:
        return resolve(argument)
    if type(argument) in (tuple, list):
        return type(argument)(_resolved(item) for item in argument)
    return argument


@contextmanager
def _namespace() -> Iterator[None]:
    if ContextStack.get(ModelNamespace.KEY) is not None:
        yield
        return
    with ModelNamespace.enter():
        yield
