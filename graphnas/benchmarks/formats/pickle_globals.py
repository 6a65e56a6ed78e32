"""The globals that a pickle of plain data may name, and what is done in their stead: nothing of them is imported."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

_NUMBERS = {
    "f8": "d",
    "f4": "f",
    "f2": "e",
    "i8": "q",
    "i4": "i",
    "i2": "h",
    "i1": "b",
    "u8": "Q",
    "u4": "I",
    "b1": "?",
}
"""Types of numpy's numbers to what `struct` calls them."""


class Dtype:
    """The type of a number of numpy.

    Args:
        code: Kind and size, as `f8`.
        flags: Alignment and copying, which say nothing of the number.
    """

    def __init__(self, code: Any, *flags: Any) -> None:
        if type(code) is not str or code not in _NUMBERS:  # the type first: a deep tuple cannot be hashed safely
            raise ValueError("a number of numpy of an unknown type")
        self.code = code
        self.order = "<"

    def set_order(self, state: Any) -> None:
        """Take the order of bytes from the state that a pickle gives."""
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError("an unknown order of bytes")
        self.order = ">" if order == ">" else "<"


class Allowed:
    """A global that a pickle may name.

    Args:
        function: What is called in its stead.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


def checked_key(key: Any) -> Any:
    """Return a key of a dictionary or set: text, a number, or a flat tuple of such, for it is hashed.

    Raises:
        TypeError: It is something else.
    """
    parts = key if type(key) is tuple else (key,)
    if any(type(part) not in (str, int, float, bool) for part in parts):
        raise TypeError(f"expected text or numbers as a key, got {type(key).__name__}")
    return key


def _scalar(dtype: Any, data: Any) -> Any:
    if not isinstance(dtype, Dtype):
        raise TypeError("expected the type of a number of numpy")
    (value,) = struct.unpack(dtype.order + _NUMBERS[dtype.code], data)
    return value


def _encoded(text: Any, encoding: Any) -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ValueError("expected bytes written as Latin-1")
    return text.encode("latin-1")


def _set(items: Any = ()) -> set[Any]:
    return set(map(checked_key, items))


def _dictionary(items: Any = ()) -> dict[Any, Any]:
    return {checked_key(key): value for key, value in items}


ALLOWED = {
    ("collections", "OrderedDict"): Allowed(_dictionary),
    ("builtins", "set"): Allowed(_set),
    ("__builtin__", "set"): Allowed(_set),
    ("_codecs", "encode"): Allowed(_encoded),
    ("numpy", "dtype"): Allowed(Dtype),
    ("numpy.core.multiarray", "scalar"): Allowed(_scalar),
    ("numpy._core.multiarray", "scalar"): Allowed(_scalar),
}
"""Module and name of each."""
