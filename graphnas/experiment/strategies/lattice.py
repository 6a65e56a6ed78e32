"""The combinations of finite lists of values by number, and a random order of them that takes no memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graphnas.mutators.domain import Decision, Domain

_ROUNDS = 4


class Lattice:
    """All combinations of the values of domains in a random order that depends on the seed alone.

    The order is a permutation of `range(size)` computed point by point: a Feistel network over SHAKE-256 on the least
    even number of bits that holds `size`, walked along its cycle until it falls into range (Black and Rogaway 2002,
    "Ciphers with Arbitrary Finite Domains", section 4). So sampling without replacement needs neither a list nor a set.

    Args:
        domains: The labels and their values.
        seed: Of the order; None is the order of the values, that of the last label varying fastest.
        granularity: So many values, evenly spread, stand for an infinite domain.

    Raises:
        ValueError: A domain is infinite, and there is no granularity.
    """

    def __init__(self, domains: Mapping[str, Domain], seed: int | str | None, granularity: int | None = None) -> None:
        self._axes = {label: _axis(domain, granularity) for label, domain in domains.items()}
        self.size = size = math.prod(count for count, _ in self._axes.values())
        self._half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
        self._key = None if seed is None else f"{seed}/".encode()

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the point at `index` of the order."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        rank = index
        if self._key is not None:
            rank = self._encrypt(self._key, index)
            while rank >= self.size:
                rank = self._encrypt(self._key, rank)
        places = {}
        for label, (count, _) in reversed(self._axes.items()):
            rank, places[label] = divmod(rank, count)
        return {label: value_at(places[label]) for label, (_, value_at) in self._axes.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(self.size))

    def _encrypt(self, key: bytes, number: int) -> int:
        mask = (1 << self._half_bits) - 1
        left, right = number >> self._half_bits, number & mask
        for step in range(_ROUNDS):
            left, right = right, left ^ (self._scramble(key, step, right) & mask)
        return left << self._half_bits | right

    def _scramble(self, key: bytes, step: int, number: int) -> int:
        width = (self._half_bits + 7) // 8
        text = key + bytes([step]) + number.to_bytes(width, "big")
        return int.from_bytes(hashlib.shake_256(text).digest(width), "big")


def _axis(domain: Domain, granularity: int | None) -> tuple[int, Callable[[int], Decision]]:
    if domain.size is not None:
        return domain.size, domain.at
    if granularity is None:
        raise ValueError("a lattice needs domains of finite size, or a granularity")
    values = domain.grid(granularity)
    return len(values), values.__getitem__
