"""The scanner of the text form: tokens, literals and types, and where in the text something is wrong.

What belongs here is what does not know models: `graphnas.ir.parser` builds on it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any, Literal, NoReturn, TypeVar, overload

import torch

from graphnas.errors import ParseError
from graphnas.ir.literal import Argument, Construction, FrozenDict, FrozenList, Symbol, Value
from graphnas.ir.types import (
    MappingType,
    ObjectType,
    ScalarType,
    SequenceType,
    TensorType,
    Type,
    dtype_from_name,
)

_T = TypeVar("_T")

PLAIN_NAME = re.compile(r"\w+(?:\.\w+)*(?::\w+(?:\.\w+)*)?")
"""Names, paths and symbols that need no quotes."""

MAX_DEPTH = 100
"""Literals and types nested deeper than this are refused rather than left to the recursion limit."""

PLAIN_IDENTIFIER = re.compile(r"\w+")
"""Names of values and attributes that need no quotes."""

_SPACE = re.compile(r"(?:\s+|//[^\n]*)*")
_STRING = re.compile(r"[bB]?(?:'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")")
_UNSIGNED = r"(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|inf|nan)"
_COMPLEX = re.compile(rf"\([-+]?{_UNSIGNED}[-+]{_UNSIGNED}j\)|[-+]?{_UNSIGNED}j\b")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?\b|(?:inf|nan)\b)")
_TOKEN = re.compile(r"[\w.:]+|\S")
_KEYWORD = re.compile(rf"({PLAIN_NAME.pattern}|{_STRING.pattern})\s*=")
_CONSTANTS: dict[str, Any] = {"True": True, "False": False, "None": None}
_TORCH_CONSTANTS = (torch.dtype, torch.memory_format, torch.layout)


class Scanner:
    """A position in a text. Each `take_…` consumes one thing or raises; white space and comments are passed over."""

    def __init__(self, text: str, what: str = "model text") -> None:
        self.text = text
        self.what = what
        self.position = 0
        self._depth = 0
        self._comma = False
        self._skip()

    def fail(self, expected: str, *, at: int | None = None, got: str | None = None) -> NoReturn:
        """Raise a `ParseError` that shows the line with a caret under what is wrong."""
        position = self.position if at is None else at
        line = self.text.count("\n", 0, position) + 1
        start = self.text.rfind("\n", 0, position) + 1
        end = self.text.find("\n", position)
        shown = self.text[start : len(self.text) if end < 0 else end]
        column = position - start
        if got is None:
            token = _TOKEN.match(self.text, position)
            got = repr(token.group()) if token else "the end of the text" if position >= len(self.text) else "a break"
        first = max(0, column - 90)
        excerpt = shown[first : column + 60]
        message = (
            f"{self.what}, line {line}, column {column + 1}: expected {expected}, got {got}\n"
            f"  {excerpt}\n  {' ' * (column - first)}^"
        )
        raise ParseError(message, line=line, column=column + 1)

    def at(self, symbol: str) -> bool:
        """Tell whether `symbol` comes next."""
        return self.text.startswith(symbol, self.position)

    def accept(self, symbol: str) -> bool:
        """Consume `symbol` if it comes next."""
        if not self.at(symbol):
            return False
        self._move(self.position + len(symbol))
        return True

    def expect(self, symbol: str) -> None:
        """Consume `symbol`."""
        if not self.accept(symbol):
            self.fail(repr(symbol))

    def peek_word(self) -> str:
        """Return the word that comes next, or the empty string."""
        match = PLAIN_IDENTIFIER.match(self.text, self.position)
        return match.group() if match else ""

    def accept_word(self, word: str) -> bool:
        """Consume `word` if it comes next as a whole."""
        return self.peek_word() == word and self.accept(word)

    def take_word(self, expected: str, among: tuple[str, ...] = ()) -> str:
        """Consume a word, one of `among` where that is given."""
        word = self.peek_word()
        if not word or (among and word not in among):
            self.fail(expected)
        self.accept(word)
        return word

    def take_name(self, expected: str = "a name") -> str:
        """Consume a plain name, path or `module:name`, or a quoted string."""
        if self.at("'") or self.at('"'):
            return self.take_string(expected)
        match = PLAIN_NAME.match(self.text, self.position)
        if not match:
            self.fail(expected)
        self._move(match.end())
        return match.group()

    def take_string(self, expected: str = "a string") -> str:
        """Consume a quoted string."""
        start = self.position
        value = self._quoted(expected)
        if not isinstance(value, str):
            self.fail(expected, at=start)
        return value

    def take_identifier(self, expected: str = "a name") -> str:
        """Consume a plain word, or a quoted string: a name behind which a colon and a type may stand."""
        return self.take_string(expected) if self.at("'") or self.at('"') else self.take_word(expected)

    def take_value(self) -> str:
        """Consume `%name` and return the name."""
        self.expect("%")
        return self.take_identifier("the name of a value")

    def take_int(self, expected: str = "an integer") -> int:
        """Consume an integer."""
        start = self.position
        value = self._number() if _NUMBER.match(self.text, start) else self.fail(expected)
        if type(value) is not int:
            self.fail(expected, at=start)
        return value

    def take_list(self, item: Callable[[], _T], open: str, close: str) -> list[_T]:
        """Consume items between `open` and `close`, separated by commas, a comma behind the last one allowed."""
        self.expect(open)
        items: list[_T] = []
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail(f"at most {MAX_DEPTH} levels of nesting")
        comma = True
        while not self.accept(close):
            if not comma:
                self.fail(f"',' or {close!r}")
            items.append(item())
            comma = self.accept(",")
        self._comma = comma
        self._depth -= 1
        return items

    def take_call(self) -> tuple[tuple[Argument, ...], FrozenDict[Argument]]:
        """Consume the arguments of a call, parentheses included."""
        args: list[Argument] = []
        kwargs: dict[str, Argument] = {}

        def item() -> None:
            start = self.position
            if _KEYWORD.match(self.text, start):
                name = self.take_name()
                if name in kwargs:
                    self.fail("each keyword once", at=start)
                self.expect("=")
                kwargs[name] = self.take_argument()
            elif kwargs:
                self.fail("a keyword argument, since one stands before it")
            else:
                args.append(self.take_argument())

        self.take_list(item, "(", ")")
        return tuple(args), FrozenDict(kwargs)

    def take_argument(self) -> Argument:
        """Consume a literal, or a nesting of literals and values."""
        match = _COMPLEX.match(self.text, self.position)
        if match:
            self._move(match.end())
            return complex(match.group())
        if _NUMBER.match(self.text, self.position):
            return self._number()
        if _STRING.match(self.text, self.position):
            return self._quoted("a string")
        if self.at("%"):
            return Value(self.take_value())
        if self.accept("@"):
            path = self.take_name("the path of a symbol")
            return Construction(path, *self.take_call()) if self.at("(") else Symbol(path)
        if self.accept("..."):
            return Ellipsis
        if self.at("("):
            return self._tuple()
        if self.at("["):
            return FrozenList(self.take_list(self.take_argument, "[", "]"))
        if self.at("{"):
            return FrozenDict(self._entries(self.take_argument))
        return self._named()

    def take_type(self) -> Type:
        """Consume a type."""
        if self.at("("):
            return SequenceType("tuple", tuple(self.take_list(self.take_type, "(", ")")))
        if self.at("["):
            return SequenceType("list", tuple(self.take_list(self.take_type, "[", "]")))
        if self.at("{"):
            return MappingType(tuple(self._entries(self.take_type)))
        if self.accept("<"):
            name = self.take_name("the class of an object")
            self.expect(">")
            return ObjectType(name)
        start = self.position
        word = self.take_word("a type")
        if self.accept("="):
            value = self.take_argument()
            if type(value).__name__ != word:
                self.fail(f"a value of type {word}", at=start, got=f"a {type(value).__name__}")
            return ScalarType(value)
        if word == "size" and self.at("("):
            return SequenceType("size", tuple(self.take_list(self.take_type, "(", ")")))
        try:
            dtype = dtype_from_name(word)
        except KeyError:
            self.fail("a type", at=start)
        return TensorType(tuple(self.take_list(self.take_int, "[", "]")), dtype)

    def finish(self) -> None:
        """Raise unless everything has been consumed."""
        if self.position < len(self.text):
            self.fail("the end of the text")

    def _skip(self) -> None:
        match = _SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position

    def _move(self, position: int) -> None:
        self.position = position
        self._skip()

    def _number(self) -> int | float:
        match = _NUMBER.match(self.text, self.position)
        text = match.group() if match else ""
        try:
            value = int(text) if text.lstrip("+-").isdigit() else float(text)
        except ValueError:
            self.fail("a number of a size that Python reads")
        self._move(self.position + len(text))
        return value

    def _quoted(self, expected: str) -> str | bytes:
        match = _STRING.match(self.text, self.position)
        if not match:
            self.fail(expected)
        try:
            value = ast.literal_eval(match.group())
        except (SyntaxError, ValueError):
            self.fail("a string as Python writes it")
        self._move(match.end())
        return value  # type: ignore[no-any-return]  # the pattern admits strings and bytes only

    def _tuple(self) -> Argument:
        start = self.position
        items = tuple(self.take_list(self.take_argument, "(", ")"))
        if len(items) == 1 and not self._comma:
            self.fail("a comma behind the only item of a tuple", at=start)
        return items

    @overload
    def _entries(self, item: Callable[[], Type], /) -> list[tuple[Any, Type]]: ...
    @overload
    def _entries(self, item: Callable[[], Argument], /) -> list[tuple[Any, Argument]]: ...
    def _entries(self, item: Callable[[], Any], /) -> list[tuple[Any, Any]]:
        known: set[Any] = set()

        def entry() -> tuple[Any, Any]:
            start = self.position
            key = self.take_argument()
            if key in known:
                self.fail("each key once", at=start)
            known.add(key)
            self.expect(":")
            return key, item()

        return self.take_list(entry, "{", "}")

    def _named(self) -> Argument:
        """Consume what begins with a name: a constant, or a call of `slice`, `range`, `device` or `torch.Size`."""
        start = self.position
        match = PLAIN_NAME.match(self.text, start)
        name = match.group().partition(":")[0] if match else ""
        self._move(start + len(name))
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name.startswith("torch.") and name != "torch.Size":
            constant = getattr(torch, name.removeprefix("torch."), None)
            if isinstance(constant, _TORCH_CONSTANTS):
                return constant
        if name in ("slice", "range", "device", "torch.Size") and self.at("("):
            args, kwargs = self.take_call()
            try:
                return _construct(name, args, dict(kwargs))
            except (TypeError, ValueError, RuntimeError) as error:
                self.fail(f"arguments that {name} takes", at=start, got=str(error).partition("\n")[0])
        self.position = start
        return self.fail("a literal or a value")


def _construct(
    name: str | Literal["slice", "range", "device", "torch.Size"],
    args: tuple[Argument, ...],
    kwargs: dict[str, Argument],
) -> Argument:
    if name == "slice":
        return slice(*args, **kwargs)
    if name == "range":
        return range(*args, **kwargs)
    if name == "device":
        return torch.device(*args, **kwargs)
    return torch.Size(*args, **kwargs)


def parse_type(text: str) -> Type:
    """Return the type that `text` describes: the inverse of `graphnas.ir.text.format_type`.

    Raises:
        ParseError: It describes none.
    """
    scanner = Scanner(text, "type")
    result = scanner.take_type()
    scanner.finish()
    return result


def parse_argument(text: str) -> Argument:
    """Return the literal or argument that `text` describes: the inverse of `graphnas.ir.text.format_argument`.

    Raises:
        ParseError: It describes none.
    """
    scanner = Scanner(text, "argument")
    result = scanner.take_argument()
    scanner.finish()
    return result
