"""Numbers that remember where they come from: sizes of tensors, what is computed from them, and `self.training`.

They derive from torch's own symbolic numbers, so that torch's argument parsers take them wherever an int, float or bool
may stand. Arithmetic is recorded only when its result is used in the graph. Whatever needs a plain Python value — a
comparison, `range`, an index of a list — is decided by the value at hand and becomes a guard.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
import torch.fx

from graphnas.ir.source import current_place


class Recorder(Protocol):
    """What symbolic numbers need of the tracer."""

    def knows(self, number: Any) -> bool:
        """Tell whether a number can be had in the graphs under construction; plain ones can."""

    def record(self, function: Callable[..., Any], args: tuple[Any, ...], value: Any) -> torch.fx.Node:
        """Record a call of a plain function on numbers in the graph at hand."""

    def settle(self, number: Symbolic) -> None:
        """Record a number that the user gave a name, where it got it, if the graph at hand has what it takes."""

    def guard(self, number: Symbolic, outcome: Any) -> None:
        """Note that tracing went on with `outcome` as the value of `number`."""

    def hash_of(self, number: Symbolic) -> int:
        """Return the hash of a number, or refuse."""

    def expect_plain(self, name: str) -> None:
        """Take note that a builtin asks for a plain number; raises if a stand-in could keep it symbolic."""

    def decide_training(self) -> bool:
        """Return the mode that is traced, and note that the graph depends on it."""


class Symbolic:
    """Base of the symbolic numbers: a value, and the call that yields it."""

    value: Any
    tracer: Recorder
    function: Callable[..., Any] | str | None
    args: tuple[Any, ...]
    hint: str = ""
    from_data: bool = False

    def __init__(
        self, tracer: Recorder, value: Any, function: Callable[..., Any] | str | None, args: tuple[Any, ...] = ()
    ) -> None:
        # The constructors of torch's classes want a node of the symbolic shape machinery, which is not in use here.
        self.tracer = tracer
        self.value = value
        self.function = function
        self.args = args
        for arg in args:
            if isinstance(arg, Symbolic) and arg.from_data:
                self.from_data = True

    def __repr__(self) -> str:
        return repr(self.value)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __hash__(self) -> int:
        return self.tracer.hash_of(self)

    def name(self, hint: str) -> None:
        """Note the variable that holds the number; the empty string for none."""
        self.hint = hint
        if hint:
            self.tracer.settle(self)

    def concrete(self) -> Any:
        """Return the plain value, and guard it."""
        self.tracer.guard(self, self.value)
        return self.value

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __reduce__(self) -> Any:
        return type(self.value), (self.value,)


def wrap(tracer: Recorder, value: Any, function: Callable[..., Any] | str, args: tuple[Any, ...]) -> Any:
    """Return the symbolic form of a number; a value of another type is returned as it is."""
    if type(value) is not int and type(value) is not float:
        return value
    number = (TracedInt if type(value) is int else TracedFloat)(tracer, value, function, args)
    number.name(current_place().target)
    return number


def plain(argument: Any) -> Any:
    """Return the value behind a symbolic number, and anything else as it is, without a guard."""
    return argument.value if isinstance(argument, Symbolic) else argument


def _binary(function: Callable[..., Any], swapped: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Symbolic, other: Any) -> Any:
        if isinstance(other, torch.Tensor) or not isinstance(plain(other), (int, float)):
            return NotImplemented
        args = (other, self) if swapped else (self, other)
        return wrap(self.tracer, function(*map(plain, args)), function, args)

    return method


def _comparison(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def method(self: Symbolic, other: Any) -> Any:
        if isinstance(other, torch.Tensor) or not isinstance(plain(other), (int, float)):
            return NotImplemented
        if not self.tracer.knows(self) or not self.tracer.knows(other):
            # Caches of user code outlive a forward; numbers of an earlier one must not be found in them.
            return function is operator.ne
        outcome = function(self.value, plain(other))
        self.tracer.guard(Symbolic(self.tracer, outcome, function, (self, other)), outcome)
        return outcome

    return method


def _unary(function: Callable[..., Any]) -> Callable[[Any], Any]:
    def method(self: Symbolic) -> Any:
        return wrap(self.tracer, function(self.value), function, (self,))

    return method


class _Number(Symbolic):
    __add__, __radd__ = _binary(operator.add), _binary(operator.add, swapped=True)
    __sub__, __rsub__ = _binary(operator.sub), _binary(operator.sub, swapped=True)
    __mul__, __rmul__ = _binary(operator.mul), _binary(operator.mul, swapped=True)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _binary(operator.truediv, swapped=True)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv), _binary(operator.floordiv, swapped=True)
    __mod__, __rmod__ = _binary(operator.mod), _binary(operator.mod, swapped=True)
    __pow__, __rpow__ = _binary(operator.pow), _binary(operator.pow, swapped=True)
    __and__, __rand__ = _binary(operator.and_), _binary(operator.and_, swapped=True)
    __or__, __ror__ = _binary(operator.or_), _binary(operator.or_, swapped=True)
    __xor__, __rxor__ = _binary(operator.xor), _binary(operator.xor, swapped=True)
    __lshift__, __rlshift__ = _binary(operator.lshift), _binary(operator.lshift, swapped=True)
    __rshift__, __rrshift__ = _binary(operator.rshift), _binary(operator.rshift, swapped=True)
    __eq__, __ne__ = _comparison(operator.eq), _comparison(operator.ne)
    __lt__, __le__ = _comparison(operator.lt), _comparison(operator.le)
    __gt__, __ge__ = _comparison(operator.gt), _comparison(operator.ge)
    __neg__, __pos__, __abs__ = _unary(operator.neg), _unary(operator.pos), _unary(abs)
    __ceil__, __floor__, __trunc__ = _unary(math.ceil), _unary(math.floor), _unary(math.trunc)
    __hash__ = Symbolic.__hash__

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __round__(self, digits: int | None = None) -> Any:
        args = (self,) if digits is None else (self, digits)
        return wrap(self.tracer, round(*map(plain, args)), round, args)

    def __bool__(self) -> bool:
        outcome = bool(self.value)
        self.tracer.guard(Symbolic(self.tracer, outcome, bool, (self,)), outcome)
        return outcome

    def __int__(self) -> int:
        self.tracer.expect_plain("int")
        if isinstance(self.value, int):
            return int(self.concrete())
        # The rounded number decides, not every digit of the float.
        return int(TracedInt(self.tracer, int(self.value), int, (self,)).concrete())

    def __float__(self) -> float:
        self.tracer.expect_plain("float")
        return float(self.concrete())

    def __complex__(self) -> complex:
        return complex(self.concrete())


class TracedInt(_Number, torch.SymInt):
    """An int such as `x.shape[0]`."""

    def __index__(self) -> int:
        return int(self.concrete())

    def bit_length(self) -> int:
        """Return the number of bits, by value."""
        return int(self.concrete()).bit_length()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return sys.modules["numpy"].asarray(self.concrete(), dtype)  # who asks for an array has imported it

    def is_integer(self) -> bool:
        """Return True, as for every int."""
        return True

    @property
    def real(self) -> Any:
        """The number itself."""
        return self


class TracedFloat(_Number, torch.SymFloat):
    """A float that was computed from sizes."""

    def is_integer(self) -> bool:
        """Tell, by value, whether there is no fraction."""
        return float(self.concrete()).is_integer()


def _by_mode(function: Callable[..., Any], swapped: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: TracedTraining, other: Any) -> Any:
        return function(other, bool(self)) if swapped else function(bool(self), other)

    return method


class TracedTraining(Symbolic, torch.SymBool):
    """`self.training`: symbolic as an argument, the traced mode as a condition, as a key and in arithmetic."""

    def __init__(self, tracer: Recorder) -> None:
        super().__init__(tracer, False, None)

    def __bool__(self) -> bool:
        return self.tracer.decide_training()

    def __eq__(self, other: object) -> bool:
        return bool(self) == other

    def __hash__(self) -> int:
        return hash(bool(self))

    def __int__(self) -> int:
        return int(bool(self))

    __index__ = __int__

    def __float__(self) -> float:
        return float(bool(self))

    __add__, __radd__ = _by_mode(operator.add), _by_mode(operator.add, swapped=True)
    __sub__, __rsub__ = _by_mode(operator.sub), _by_mode(operator.sub, swapped=True)
    __mul__, __rmul__ = _by_mode(operator.mul), _by_mode(operator.mul, swapped=True)
    __truediv__, __rtruediv__ = _by_mode(operator.truediv), _by_mode(operator.truediv, swapped=True)
    __pow__, __rpow__ = _by_mode(operator.pow), _by_mode(operator.pow, swapped=True)
    __and__, __rand__ = _by_mode(operator.and_), _by_mode(operator.and_, swapped=True)
    __or__, __ror__ = _by_mode(operator.or_), _by_mode(operator.or_, swapped=True)
    __xor__, __rxor__ = _by_mode(operator.xor), _by_mode(operator.xor, swapped=True)
    __lt__, __le__, __gt__, __ge__ = map(_by_mode, (operator.lt, operator.le, operator.gt, operator.ge))

    def __repr__(self) -> str:
        return "self.training"


class TracedSize(tuple[Any, ...]):
    """`x.shape`: a tuple of traced ints that knows whose shape it is, as long as it is used whole."""

    node: Any

    def __new__(cls, items: Iterator[Any] | tuple[Any, ...], node: Any) -> TracedSize:
        """Make the shape that `node` reads."""
        size = super().__new__(cls, items)
        size.node = node
        return size

    def numel(self) -> Any:
        """Return the number of elements."""
        return math.prod(self)

    def __getitem__(self, index: Any) -> Any:
        item = super().__getitem__(index)
        if isinstance(item, Symbolic):
            item.name(item.hint or current_place().target)
        return item if not isinstance(index, slice) else tuple(item)
