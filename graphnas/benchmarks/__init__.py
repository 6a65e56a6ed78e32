"""NAS-Bench-101 and 201, NATS-Bench and NDS: published measurements of many architectures, and their spaces to search.

One package for each benchmark: its tables (`schema`) and queries of them (`query`), the files that they are built from
and what was published of them (`benchmark`), the names of its operations (`constants`), its architectures as decisions
and back (`architecture`) and the networks that they stand for (`network`).

What they share is here: `database` and `query` read, `build` writes what a reader of files gives it in the terms of
`layouts`, `catalogue` knows the benchmarks by name, and `cli` is `graphnas bench`. The readers of file formats in
`formats` know nothing of benchmarks. `search` puts a benchmark in the place of training, and `compare` lets strategies
search it many times.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["nasbench101", "nasbench201", "natsbench", "nds"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'graphnas.benchmarks' has no attribute {name!r}")
    return import_module(f"graphnas.benchmarks.{name}")
