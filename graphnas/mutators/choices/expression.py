"""Expressions: what is computed from value choices before they are decided.

An expression is a tree of operations, by name, over choices and plain values: data that can be printed, copied, pickled
and evaluated for given values. Nothing in it is a function of the user. `ValueChoice` is the leaf; what is written with
it (`width * 2`, `depth > 2`) makes the rest.

What belongs here: the table of operations, and what can be asked of a tree. What a tree turns into once its choices are
decided is `decided`'s.
"""

from __future__ import annotations

import itertools
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from graphnas.errors import DecisionError


class Operation(NamedTuple):
    """How an operation is computed and printed; `text` has a place for each operand, or one for all of any number."""

    function: Callable[..., Any]
    text: str


def _is(value: Any, *candidates: Any) -> bool:
    return any(type(value) is type(candidate) and value == candidate for candidate in candidates)


def _invert(value: Any) -> Any:
    """Return the opposite of a flag; of a number, its bits turned over."""
    return not value if type(value) is bool else ~value


def _condition(true: Any, asked: Any, false: Any) -> Any:
    return true if asked else false


def _max(*values: Any) -> Any:
    return max(values)


def _min(*values: Any) -> Any:
    return min(values)


_BINARY = {
    "add": (operator.add, "+"),
    "sub": (operator.sub, "-"),
    "mul": (operator.mul, "*"),
    "matmul": (operator.matmul, "@"),
    "truediv": (operator.truediv, "/"),
    "floordiv": (operator.floordiv, "//"),
    "mod": (operator.mod, "%"),
    "pow": (operator.pow, "**"),
    "lshift": (operator.lshift, "<<"),
    "rshift": (operator.rshift, ">>"),
    "and": (operator.and_, "&"),
    "or": (operator.or_, "|"),
    "xor": (operator.xor, "^"),
}
_COMPARISONS = {
    "eq": (operator.eq, "=="),
    "ne": (operator.ne, "!="),
    "lt": (operator.lt, "<"),
    "le": (operator.le, "<="),
    "gt": (operator.gt, ">"),
    "ge": (operator.ge, ">="),
}
_UNARY = {
    "neg": Operation(operator.neg, "-{}"),
    "pos": Operation(operator.pos, "+{}"),
    "invert": Operation(_invert, "~{}"),
    "abs": Operation(abs, "abs({})"),
    "trunc": Operation(math.trunc, "trunc({})"),
    "floor": Operation(math.floor, "floor({})"),
    "ceil": Operation(math.ceil, "ceil({})"),
}
OPERATIONS: dict[str, Operation] = {
    **{name: Operation(function, f"({{}} {sign} {{}})") for name, (function, sign) in _BINARY.items()},
    **{name: Operation(function, f"({{}} {sign} {{}})") for name, (function, sign) in _COMPARISONS.items()},
    **_UNARY,
    "round": Operation(round, "round(...)"),
    "divmod": Operation(divmod, "divmod({}, {})"),
    "getitem": Operation(operator.getitem, "{}[{}]"),
    "is": Operation(_is, "{}.is_(...)"),
    "to_int": Operation(int, "to_int({})"),
    "to_float": Operation(float, "to_float({})"),
    "condition": Operation(_condition, "({} if {} else {})"),
    "max": Operation(_max, "max(...)"),
    "min": Operation(_min, "min(...)"),
}
"""Every operation, by name. Operands stand in the order in which they are printed."""

OPERATORS = {
    **{f"__{name}__": (name, False) for name in (*_BINARY, *_COMPARISONS, *_UNARY, "round", "divmod", "getitem")},
    **{f"__r{name}__": (name, True) for name in (*_BINARY, "divmod")},
}
"""Special method to operation, and whether it has the operands in reverse."""


class Expression(ABC):
    """A value that hangs on choices that are not decided yet.

    It can be computed with and compared, in either order of operands; the result is an expression again. Constructors
    of `torch.nn` and of `@basic_unit` classes take it as an argument; in `forward` it is read by a call.
    """

    @abstractmethod
    def inner_choices(self) -> tuple[Any, ...]:
        """Return the choices in it, in the order in which they are printed; one that is used twice comes twice."""

    @abstractmethod
    def format(self, text_of: Callable[[Any], str]) -> str:
        """Return the expression as it is written, with `text_of` each of its choices."""

    @abstractmethod
    def _compute(self, values: Mapping[str, Any]) -> Any:
        """Return the value, given the candidates chosen by label."""

    @abstractmethod
    def __graphnas_resolve__(self) -> Any:
        """Return the plain value to construct with: that of the first candidates while the choices are open."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of its choices, each once."""
        return tuple(dict.fromkeys(choice.label for choice in self.inner_choices()))

    def describe(self) -> str:
        """Return the expression as a person would write it, with labels for its choices: `depth > 2`."""
        text = self.format(lambda choice: choice.label)
        return text[1:-1] if isinstance(self, Computed) and OPERATIONS[self.name].text.startswith("(") else text

    def __repr__(self) -> str:
        return self.format(repr)

    def evaluate(self, values: Sequence[Any] | Mapping[str, Any]) -> Any:
        """Return the value of this expression.

        Args:
            values: One candidate for each of `inner_choices()`, in their order, or by label.

        Raises:
            DecisionError: There are too few or too many values, one is no candidate, or two of one label differ.
        """
        choices = self.inner_choices()
        if not isinstance(values, Mapping):
            if len(values) != len(choices):
                raise DecisionError(
                    f"{self!r}: expected one value for each of its {len(choices)} choices "
                    f"({', '.join(choice.label for choice in choices)}), got {len(values)}"
                )
            pairs = [(choice, choice.candidate_of(value)) for choice, value in zip(choices, values, strict=True)]
        else:
            for label in values:
                if label not in self.labels:
                    raise DecisionError(f"{self!r} has no choice {label!r}", label=label, allowed=self.labels)
            for choice in choices:
                if choice.label not in values:
                    raise DecisionError(f"{self!r}: the value of {choice.label!r} is missing", label=choice.label)
            pairs = [(choice, choice.candidate_of(values[choice.label])) for choice in choices]
        chosen: dict[str, Any] = {}
        for choice, value in pairs:
            if not _is(chosen.setdefault(choice.label, value), value):
                raise DecisionError(
                    f"{self!r}: label {choice.label!r} is given two values, {chosen[choice.label]!r} and {value!r}; "
                    "choices of one label are one choice",
                    label=choice.label,
                )
        return self._compute(chosen)

    def all_options(self) -> tuple[Any, ...]:
        """Return the values that it can have, each once, in the order of the candidates.

        Raises:
            DecisionError: There are infinitely many, or one label stands for different candidates.
        """
        known: dict[str, Any] = {}
        for choice in self.inner_choices():
            first = known.setdefault(choice.label, choice)
            if first.domain != choice.domain:
                raise DecisionError(
                    f"{self!r}: label {choice.label!r} stands for two different choices, {first.domain.describe()} "
                    f"and {choice.domain.describe()}; give them the same candidates, or one of them another label",
                    label=choice.label,
                )
        return tuple(self._options({}))

    @abstractmethod
    def _options(self, chosen: Mapping[str, Any]) -> list[Any]:
        """Return the values that are possible if some choices are made already."""

    def dry_run(self) -> Any:
        """Return the value if every choice takes its default: the first candidate."""
        return self._compute({choice.label: choice.default for choice in self.inner_choices()})

    def is_(self, *values: Any) -> Any:
        """Return the condition that this is one of `values`; types count, so `True` is not `1`."""
        return computed("is", self, *values)

    def __call__(self) -> Any:
        """Return the value, in `forward`."""
        if any(choice.has_none for choice in self.inner_choices()):
            raise DecisionError(
                f"{self!r} has None among its candidates, which cannot be called once it is decided; "
                "use another candidate, such as 0 or '', for it",
                label=self.labels[0],
            )
        return self.__graphnas_resolve__()

    def __graphnas_refusal__(self, error: str) -> str:
        """Return what to say where it stands as a plain value, given what was said first."""
        return refusal(self, f"a call ({error})")

    __hash__ = object.__hash__


class Computed(Expression):
    """An operation on expressions and plain values; made by `computed`."""

    def __init__(self, name: str, operands: tuple[Any, ...]) -> None:
        self.name = name
        self.operands = operands

    def inner_choices(self) -> tuple[Any, ...]:
        return tuple(
            choice for item in self.operands if isinstance(item, Expression) for choice in item.inner_choices()
        )

    def _compute(self, values: Mapping[str, Any]) -> Any:
        operands = [item._compute(values) if isinstance(item, Expression) else item for item in self.operands]
        return self._apply(operands)

    def __graphnas_resolve__(self) -> Any:
        return self._apply(
            [item.__graphnas_resolve__() if isinstance(item, Expression) else item for item in self.operands]
        )

    def _apply(self, operands: Sequence[Any]) -> Any:
        try:
            return OPERATIONS[self.name].function(*operands)
        except TypeError as error:
            raise TypeError(f"{self!r} cannot be computed of {_listed(operands)}: {error}") from error
        except (ArithmeticError, LookupError, ValueError) as error:
            raise DecisionError(
                f"{self!r} cannot be computed of {_listed(operands)}: {error}; leave out the candidates that lead there"
            ) from error

    def _options(self, chosen: Mapping[str, Any]) -> list[Any]:
        # Operands vary on their own but for the choices that they share: these are gone through one by one.
        inner = [item for item in self.operands if isinstance(item, Expression)]
        of_each = [set(item.labels) - set(chosen) for item in inner]
        shared = [choice for choice in self.inner_choices() if sum(choice.label in labels for labels in of_each) > 1]
        shared = list({choice.label: choice for choice in shared}.values())
        found: list[Any] = []
        for values in itertools.product(*(choice._options(chosen) for choice in shared)):
            given = {**chosen, **{choice.label: value for choice, value in zip(shared, values, strict=True)}}
            options = [item._options(given) if isinstance(item, Expression) else [item] for item in self.operands]
            found.extend(self._apply(operands) for operands in itertools.product(*options))
        return distinct(found)

    def format(self, text_of: Callable[[Any], str]) -> str:
        texts = [item.format(text_of) if isinstance(item, Expression) else repr(item) for item in self.operands]
        text = OPERATIONS[self.name].text
        if "..." not in text:
            return text.format(*texts)
        of_method = "{}" in text
        return text.replace("...", ", ".join(texts[of_method:])).replace("{}", texts[0])


def computed(name: str, *operands: Any) -> Computed:
    """Return the expression of an operation.

    Raises:
        TypeError: It cannot be computed of the first candidates, or an operand is a list that holds choices.
        DecisionError: It cannot be computed of the first candidates for another reason, such as a division by zero.
    """
    for operand in operands:
        if not isinstance(operand, _OPERANDS):
            choice = next(item for item in operands if isinstance(item, Expression))
            raise TypeError(
                f"{choice!r} is not decided yet, so nothing can be computed of it and a {type(operand).__name__}; in "
                "forward, read its value by calling it, as in `x * self.rate()`"
            )
        if isinstance(operand, (tuple, list)) and any(isinstance(item, Expression) for item in operand):
            raise TypeError(
                f"{operand!r} holds choices, so it cannot be an operand; make whole {type(operand).__name__}s the "
                "candidates of a ValueChoice"
            )
    expression = Computed(name, operands)
    expression.dry_run()
    return expression


def distinct(values: Sequence[Any]) -> list[Any]:
    """Return the values, each once, in order; values of different types differ."""
    found: list[Any] = []
    seen: set[Any] = set()
    for value in values:
        try:
            key = (type(value), value)
            known = key in seen
            seen.add(key)
        except TypeError:  # a list
            known = _is(value, *found)
        if not known:
            found.append(value)
    return found


def _listed(operands: Sequence[Any]) -> str:
    return ", ".join(map(repr, operands))


# Operators.


_OPERANDS = (Expression, bool, int, float, complex, str, tuple, list, slice, type(None))


def _operator(name: str, is_reversed: bool) -> Callable[..., Any]:
    def method(self: Expression, *others: Any) -> Any:
        operands = [getattr(item, "__graphnas_bare__", item) for item in others]
        if name in ("eq", "ne") and not isinstance(operands[0], _OPERANDS):
            return NotImplemented  # no value equals something else
        return computed(name, *(*operands, self) if is_reversed else (self, *operands))

    return method


for _method, (_name, _is_reversed) in OPERATORS.items():
    setattr(Expression, _method, _operator(_name, _is_reversed))


def _refusal(what: str) -> Callable[..., NoReturn]:
    def refuse(self: Expression, *_: Any) -> NoReturn:
        raise DecisionError(refusal(self, what), label=self.labels[0] if self.labels else "")

    return refuse


def refusal(expression: Expression, what: str) -> str:
    """Return the message for an open choice that was used where a value has to be."""
    return (
        f"{expression!r} is not decided yet, so Python cannot use it in {what}. Pass it as it is to the constructor of "
        "a torch.nn module or @basic_unit class; read its value in forward by calling it; compute with operators, "
        "ValueChoice.to_int, to_float, max, min and condition; where Python has to compute with the value, make "
        "it a ModelParameterChoice, which is a plain value (under `fixed_arch` every choice is)"
    )


_REFUSED = {
    "a condition": ("bool",),
    "int(), range() or an index": ("int", "index"),
    "float()": ("float",),
    "complex()": ("complex",),
    "a formatted text": ("format",),
    "iteration": ("iter", "len", "reversed"),
    "a test of what it contains": ("contains",),
}
for _what, _names in _REFUSED.items():
    for _name in _names:
        setattr(Expression, f"__{_name}__", _refusal(_what))


def walk(value: Any) -> Iterator[Expression]:
    """Yield the expressions in an argument: itself, or in tuples, lists and dictionaries, at any depth."""
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from walk(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from walk(item)
