"""Reads pickles of plain data and runs nothing that they name.

A pickle is a program for a small machine. This is such a machine, of which every instruction that could reach code is
left out. The few globals of `pickle_globals` may be named and stand for functions of ours; any other one ends it.
Dictionaries, lists, tuples, sets, strings, bytes, numbers, and numbers of numpy come out, nothing else.

It reads as a stream: `items` gives the entries of one large dictionary, one by one, and forgets each afterwards. So a
file of gigabytes takes the memory of one entry, and four bytes for each object that was numbered for later use.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from graphnas.benchmarks.formats.pickle_globals import ALLOWED, Allowed, Dtype, checked_key
from graphnas.errors import BenchmarkError

_BLOCK = 1 << 18
_LONGEST = 1 << 20
"""Greatest length of a string, in bytes."""

_LONGEST_LINE = 4096
_MOST_STEPS = 5_000_000
"""Greatest number of instructions of one entry: of what is published, none has a tenth of it."""

_PICKLE_ERRORS = (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error)


class Forgotten:
    """Stands for an object of an earlier entry, which is not kept."""


class PickleStream:
    """Reads the pickles of a file, one after the other.

    Args:
        handle: The file, at the beginning of a pickle.
        path: Its name in messages.
    """

    def __init__(self, handle: IO[bytes], path: Path) -> None:
        self.path = path
        self._handle = handle
        self._buffer, self._at = b"", 0
        self._offset = 0
        self.rest: Any = None
        self._reset()

    @property
    def offset(self) -> int:
        """Number of bytes read so far."""
        return self._offset - len(self._buffer) + self._at

    def load(self) -> Any:
        """Return the next pickle as a whole.

        Raises:
            BenchmarkError: It is torn, too large, or names anything but plain data.
        """
        self._reset()
        for _ in self._run(None):
            pass
        return self._result()

    def items(self, key: str) -> Iterator[tuple[Any, Any]]:
        """Return the items of the dictionary that the next pickle, a dictionary itself, has under a key.

        The other items of that pickle are in `rest`, once all have been read.

        Raises:
            BenchmarkError: As `load`, or there is no such dictionary.
        """
        self._reset()
        yield from self._run(key)
        self.rest = self._result()
        if not isinstance(self.rest, dict) or not isinstance(self.rest.get(key), dict):
            raise self._torn(f"expected a dictionary with a dictionary under {key!r}")
        yield from self.rest[key].items()  # those few that were put in by themselves

    def _reset(self) -> None:
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._stopped = False
        self._constants: list[Any] = []
        self._constant_ids: dict[Any, int] = {}
        self._memo_constants = array("I")  # of each numbered object: 0, or the number of its constant
        self._kept: dict[int, Any] = {}
        self._memo: dict[int, Any] = {}  # the numbered objects of this entry

    def _run(self, key: str | None) -> Iterator[tuple[Any, Any]]:
        """Run the instructions up to the end of the pickle; give the items under the key as they are complete."""
        entries: list[Any] | None = None  # keys and values on their way into the dictionary
        steps = 0
        try:
            while not self._stopped:
                if self._at >= len(self._buffer):
                    self._fill(1)
                code = self._buffer[self._at]
                self._at += 1
                operation = _OPERATIONS[code]
                if operation is None:
                    raise self._refused(f"the instruction {_name(code)}")
                if key is not None and self._opens(code, key):
                    self._kept |= self._memo
                    self._memo.clear()
                    operation(self)
                    entries = self._stack
                    continue
                if entries is self._stack and code == _SETITEMS:
                    yield from self._complete(entries, 0)
                    entries = None
                operation(self)
                steps += 1
                # A dictionary that is filled is complete once another object follows it: the next key. An empty one
                # may yet get what follows.
                if entries is self._stack and len(entries) > 2 and type(entries[1]) is dict and entries[1]:
                    yield from self._complete(entries, 1)
                    steps = 0
                if steps > _MOST_STEPS:
                    raise self._torn(f"an entry has more than {_MOST_STEPS:,} instructions")
        except _PICKLE_ERRORS as error:
            raise self._torn(f"{type(error).__name__}: {error}") from error

    def _opens(self, code: int, key: str) -> bool:
        """Tell whether what follows is put into the dictionary under the key of the outermost one."""
        stack, outer = self._stack, self._outer
        return (
            code == _MARK
            and (len(outer) == 1 or (not outer and len(stack) == 3))
            and len(stack) >= 2
            and type(stack[-1]) is dict
            and type(stack[-2]) is str
            and stack[-2] == key
        )

    def _complete(self, entries: list[Any], pending: int) -> Iterator[tuple[Any, Any]]:
        """Give the items that are complete, all but the last `pending` objects, and forget them."""
        while len(entries) - pending >= 2:
            key, value = entries[:2]
            del entries[:2]
            yield checked_key(key), value
            del value
            self._memo.clear()

    def _result(self) -> Any:
        if len(self._stack) != 1 or self._outer:
            raise self._torn("it ends in the middle")
        return self._stack.pop()

    def _fill(self, count: int) -> None:
        """Read on, until as many bytes as asked for are there."""
        rest = self._buffer[self._at :]
        block = self._handle.read(max(_BLOCK, count - len(rest)))
        self._offset += len(block)
        self._buffer, self._at = rest + block, 0
        if len(self._buffer) < count:
            raise self._torn("it ends too early")

    def _take(self, count: int) -> bytes:
        if count > _LONGEST or count < 0:
            raise self._torn(f"expected strings of at most {_LONGEST:,} bytes, got one of {count:,}")
        if len(self._buffer) - self._at < count:
            self._fill(count)
        start, self._at = self._at, self._at + count
        return self._buffer[start : self._at]

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            if len(self._buffer) - self._at > _LONGEST_LINE:
                raise self._torn("a line is too long")
            self._fill(len(self._buffer) - self._at + 1)
        start, self._at = self._at, end + 1
        return self._buffer[start:end]

    def _unsigned(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _marked(self) -> list[Any]:
        """Return what was pushed since the last mark."""
        if not self._outer:
            raise IndexError("there is no mark")
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _put(self, index: int) -> None:
        """Number the object on top."""
        if not 0 <= index <= len(self._memo_constants):
            raise self._torn(f"expected the next object to be number {len(self._memo_constants)}, got {index}")
        item, constant = self._stack[-1], 0
        if type(item) is str or (type(item) is tuple and all(type(part) in (str, int) for part in item)):
            constant = self._constant_ids.setdefault(item, len(self._constants) + 1)
            if constant > len(self._constants):
                self._constants.append(item)
            self._stack[-1] = self._constants[constant - 1]
        elif isinstance(item, Allowed | Dtype):
            self._kept[index] = item
        else:
            self._memo[index] = item
        if index == len(self._memo_constants):
            self._memo_constants.append(constant)
        else:
            self._memo_constants[index] = constant

    def _get(self, index: int) -> None:
        if index < 0:
            raise IndexError("a negative number of an object")
        constant = self._memo_constants[index]
        if constant:
            self._stack.append(self._constants[constant - 1])
        elif index in self._memo:
            self._stack.append(self._memo[index])
        else:
            self._stack.append(self._kept.get(index, Forgotten()))

    def _global(self, module: Any, name: Any) -> None:
        allowed = ALLOWED.get((module, name)) if type(module) is str and type(name) is str else None
        if allowed is None:
            raise self._refused(f"{module}.{name}"[:200])
        self._stack.append(allowed)

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, Allowed) or type(arguments) is not tuple:
            raise self._refused(f"a call of {type(function).__name__}")
        self._stack.append(function.function(*arguments))

    def _build(self) -> None:
        state, item = self._stack.pop(), self._stack[-1]
        if not isinstance(item, Dtype):
            raise self._refused(f"a state of {type(item).__name__}")
        item.set_order(state)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise TypeError("expected keys and values for a dictionary")
        for place in range(0, len(items), 2):
            target[checked_key(items[place])] = items[place + 1]

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise TypeError("expected a list to append to")
        target.extend(items)

    def _add(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not set:
            raise TypeError("expected a set to add to")
        target.update(map(checked_key, items))

    def _tuple(self, count: int) -> None:
        items = tuple(self._stack[-count:])
        if len(items) < count:
            raise IndexError("the tuple is longer than the stack")
        self._stack[-count:] = [items]

    def _refused(self, what: str) -> BenchmarkError:
        return BenchmarkError(
            f"{self.path}: at byte {self.offset:,}: expected plain data, got {what}, which could run code or is none of"
            " the benchmark's; nothing was run. Get the file from where its authors publish it"
        )

    def _torn(self, why: str) -> BenchmarkError:
        return BenchmarkError(f"{self.path}: at byte {self.offset:,}: is no pickle, or torn: {why}; get it again")


def _name(code: int) -> str:
    names = (known.name for known in pickletools.opcodes if known.code == chr(code))
    return next(names, f"0x{code:02x}")


_MARK, _SETITEMS = pickle.MARK[0], pickle.SETITEMS[0]


def _push(take: Callable[[PickleStream], Any]) -> Callable[[PickleStream], None]:
    """Return the instruction that pushes what is taken from the stream."""

    def push(stream: PickleStream) -> None:
        item = take(stream)  # first, since it may end a level of the stack
        stream._stack.append(item)

    return push


def _number_line(stream: PickleStream) -> Any:
    line = stream._line()
    return {b"00": False, b"01": True}.get(line) if line in (b"00", b"01") else int(line)


def _signed_long(size: int) -> Callable[[PickleStream], int]:
    return lambda stream: int.from_bytes(stream._take(stream._unsigned(size)), "little", signed=True)


def _text_of(size: int) -> Callable[[PickleStream], str]:
    return lambda stream: str(stream._take(stream._unsigned(size)), "utf-8", "surrogatepass")


def _latin_of(size: int) -> Callable[[PickleStream], str]:
    return lambda stream: str(stream._take(stream._unsigned(size)), "latin-1")


def _bytes_of(size: int) -> Callable[[PickleStream], bytes]:
    return lambda stream: stream._take(stream._unsigned(size))


def _stop(stream: PickleStream) -> None:
    stream._stopped = True


def _mark(stream: PickleStream) -> None:
    stream._outer.append(stream._stack)
    stream._stack = []


def _set_item(stream: PickleStream) -> None:
    items = [stream._stack.pop(), stream._stack.pop()][::-1]
    stream._set_items(items)


def _dictionary_of(stream: PickleStream) -> None:
    items = stream._marked()
    stream._stack.append({})
    stream._set_items(items)


def _stack_global(stream: PickleStream) -> None:
    name, module = stream._stack.pop(), stream._stack.pop()
    stream._global(module, name)


def _global_lines(stream: PickleStream) -> None:
    module, name = str(stream._line(), "utf-8"), str(stream._line(), "utf-8")
    stream._global(module, name)


_INSTRUCTIONS: dict[bytes, Callable[[PickleStream], Any]] = {
    pickle.PROTO: lambda stream: stream._take(1),
    pickle.FRAME: lambda stream: stream._take(8),
    pickle.STOP: _stop,
    pickle.MARK: _mark,
    pickle.POP: lambda stream: stream._stack.pop(),
    pickle.POP_MARK: lambda stream: stream._marked(),
    pickle.DUP: _push(lambda stream: stream._stack[-1]),
    pickle.NONE: _push(lambda stream: None),
    pickle.NEWTRUE: _push(lambda stream: True),
    pickle.NEWFALSE: _push(lambda stream: False),
    pickle.INT: _push(_number_line),
    pickle.LONG: _push(lambda stream: int(stream._line().rstrip(b"L"))),
    pickle.FLOAT: _push(lambda stream: float(stream._line())),
    pickle.BININT: _push(lambda stream: int.from_bytes(stream._take(4), "little", signed=True)),
    pickle.BININT1: _push(lambda stream: stream._take(1)[0]),
    pickle.BININT2: _push(lambda stream: stream._unsigned(2)),
    pickle.LONG1: _push(_signed_long(1)),
    pickle.BINFLOAT: _push(lambda stream: struct.unpack(">d", stream._take(8))[0]),
    pickle.UNICODE: _push(lambda stream: str(stream._line(), "raw-unicode-escape")),
    pickle.BINUNICODE: _push(_text_of(4)),
    pickle.SHORT_BINUNICODE: _push(_text_of(1)),
    pickle.BINUNICODE8: _push(_text_of(8)),
    pickle.BINSTRING: _push(_latin_of(4)),
    pickle.SHORT_BINSTRING: _push(_latin_of(1)),
    pickle.BINBYTES: _push(_bytes_of(4)),
    pickle.SHORT_BINBYTES: _push(_bytes_of(1)),
    pickle.BINBYTES8: _push(_bytes_of(8)),
    pickle.EMPTY_LIST: _push(lambda stream: []),
    pickle.EMPTY_DICT: _push(lambda stream: {}),
    pickle.EMPTY_SET: _push(lambda stream: set()),
    pickle.EMPTY_TUPLE: _push(lambda stream: ()),
    pickle.LIST: _push(lambda stream: stream._marked()),
    pickle.DICT: _dictionary_of,
    pickle.TUPLE: _push(lambda stream: tuple(stream._marked())),
    pickle.TUPLE1: lambda stream: stream._tuple(1),
    pickle.TUPLE2: lambda stream: stream._tuple(2),
    pickle.TUPLE3: lambda stream: stream._tuple(3),
    pickle.APPEND: lambda stream: stream._append([stream._stack.pop()]),
    pickle.APPENDS: lambda stream: stream._append(stream._marked()),
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: lambda stream: stream._set_items(stream._marked()),
    pickle.ADDITEMS: lambda stream: stream._add(stream._marked()),
    pickle.PUT: lambda stream: stream._put(int(stream._line())),
    pickle.BINPUT: lambda stream: stream._put(stream._take(1)[0]),
    pickle.LONG_BINPUT: lambda stream: stream._put(stream._unsigned(4)),
    pickle.MEMOIZE: lambda stream: stream._put(len(stream._memo_constants)),
    pickle.GET: lambda stream: stream._get(int(stream._line())),
    pickle.BINGET: lambda stream: stream._get(stream._take(1)[0]),
    pickle.LONG_BINGET: lambda stream: stream._get(stream._unsigned(4)),
    pickle.GLOBAL: _global_lines,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: lambda stream: stream._reduce(),
    pickle.BUILD: lambda stream: stream._build(),
}
"""What is not here is refused: instances, extensions, persistent ids, buffers."""

_OPERATIONS = [_INSTRUCTIONS.get(bytes([code])) for code in range(256)]
