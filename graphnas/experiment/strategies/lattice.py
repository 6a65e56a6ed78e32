"""The points of a finite space by number, and a random order of them that takes no memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from graphnas.mutators.domain import Domain

_ROUNDS = 4


class Lattice:
    """All combinations of finite domains in a random order that depends on the seed alone.

    The order is a permutation of `range(size)` computed point by point: a Feistel network over SHAKE-256 on the least
    even number of bits that holds `size`, walked along its cycle until it falls into range (Black and Rogaway 2002,
    "Ciphers with Arbitrary Finite Domains", section 4). So sampling without replacement needs neither a list nor a set.
    """

    def __init__(self, domains: Mapping[str, Domain], seed: int) -> None:
        sizes = [domain.size for domain in domains.values()]
        if any(size is None for size in sizes):
            raise ValueError("a lattice needs domains of finite size")
        self.size = size = math.prod(size for size in sizes if size is not None)
        self._domains = dict(domains)
        self._half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
        self._key = f"{seed}/".encode()

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the point at `index` of the random order."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        rank = self._encrypt(index)
        while rank >= self.size:
            rank = self._encrypt(rank)
        point = {}
        for label, domain in self._domains.items():
            rank, digit = divmod(rank, domain.size or 1)
            point[label] = domain.at(digit)
        return point

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(self.size))

    def _encrypt(self, number: int) -> int:
        mask = (1 << self._half_bits) - 1
        left, right = number >> self._half_bits, number & mask
        for step in range(_ROUNDS):
            left, right = right, left ^ (self._scramble(step, right) & mask)
        return left << self._half_bits | right

    def _scramble(self, step: int, number: int) -> int:
        width = (self._half_bits + 7) // 8
        text = self._key + bytes([step]) + number.to_bytes(width, "big")
        return int.from_bytes(hashlib.shake_256(text).digest(width), "big")
