"""Comparing strategies on a benchmark: many searches with simulated time, a table and a chart of what came out.

`contestants` reads which strategies take part, `run` is one search, `contest` all of them, `summary` what is said about
them, `report` and `chart` how it is shown.
"""

from __future__ import annotations

from graphnas.benchmarks.compare.chart import draw
from graphnas.benchmarks.compare.contest import Comparison, compare
from graphnas.benchmarks.compare.contestants import Contestant, read_contestants
from graphnas.benchmarks.compare.run import Run, Step, search_once
from graphnas.benchmarks.compare.summary import Summary, summarise

__all__ = [
    "Comparison",
    "Contestant",
    "Run",
    "Step",
    "Summary",
    "compare",
    "draw",
    "read_contestants",
    "search_once",
    "summarise",
]
