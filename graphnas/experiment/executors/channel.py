"""Messages between two processes over one socket, so that no half of a message ever blocks its reader.

A worker may be killed in the middle of a report while a process that it has forked keeps the socket open. A reader that
waits for the rest would wait for ever; this one takes what is there and leaves the rest for later.
"""

from __future__ import annotations

import contextlib
import pickle
import socket
import struct
import threading
from typing import Any

_LENGTH = struct.Struct(">Q")
_CHUNK = 1 << 16


class Channel:
    """One end of a connected pair; any thread may send, one at a time may receive.

    Attributes:
        is_open: False once the other end is known to be gone.
    """

    def __init__(self, end: socket.socket) -> None:
        self.is_open = True
        self._socket = end
        self._received = bytearray()
        self._sending = threading.Lock()

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """Return a channel and the socket of its other end."""
        here, there = socket.socketpair()
        return cls(here), there

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Any) -> None:
        """Send any value that can be pickled; nothing happens if the other end is gone."""
        data = pickle.dumps(message)
        with self._sending, contextlib.suppress(OSError):
            self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def available(self) -> list[Any]:
        """Return the messages that have arrived whole; never blocks.

        Whoever writes what is no message, as a trial that confuses descriptors may, is taken to be gone.
        """
        while self.is_open:
            try:
                data = self._socket.recv(_CHUNK, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self.is_open = bool(data)
            self._received += data
            if len(data) < _CHUNK:
                break
        messages: list[Any] = []
        try:
            while (message := self._next()) is not None:
                messages.append(message[0])
        except Exception:  # unpickling what is no pickle raises whatever it likes
            self.is_open = False
        return messages

    def receive(self) -> Any:
        """Return the next message, however long it takes.

        Raises:
            EOFError: The other end is gone.
        """
        while (message := self._next()) is None:
            try:
                data = self._socket.recv(_CHUNK)
            except OSError:
                data = b""
            if not data:
                self.is_open = False
                raise EOFError("the other end of the channel is gone")
            self._received += data
        return message[0]

    def close(self) -> None:
        self.is_open = False
        self._socket.close()

    def _next(self) -> tuple[Any] | None:
        if len(self._received) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._received)
        end = _LENGTH.size + length
        if len(self._received) < end:
            return None
        data = bytes(self._received[_LENGTH.size : end])
        del self._received[:end]
        return (pickle.loads(data),)
