"""Databases of benchmarks: building one of the published tables, and queries of it on disk, by a Python client."""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.nasbench101 import query_nb101_trial_stats
from graphnas.benchmarks.nasbench201 import Table, query_nb201_trial_stats
from perf.line import Line, at_least, within

_DATA = Path(__file__).parents[2] / "shared" / "data"
_NB101 = (
    "nasbench101.csv.xz",
    "nasbench101_valid_30k.csv.xz",
    "nasbench101_runs_3258.csv.gz",
    "nasbench101_full_records.json",
)
_NB201 = (
    "nasbench201.csv.xz",
    "nasbench201_c10_trials.csv.gz",
    "natsbench_tss_3archs_trials.csv",
    "natsbench_tss_3archs_curves.csv.xz",
)
_CURVES = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
"""A cell of which every epoch is told."""


def benchmarks() -> Iterator[Line]:
    """The rates and bounds that are promised, on all of NAS-Bench-101 and NAS-Bench-201."""
    if not _DATA.is_dir():
        yield Line("databases of benchmarks", "-", f"needs the published tables of {_DATA}", "-")
        return
    before = os.environ.get(DIRECTORY_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[DIRECTORY_VARIABLE] = folder
        try:
            yield from _builds()
            yield from _nasbench201()
            yield from _nasbench101()
        finally:
            os.environ.pop(DIRECTORY_VARIABLE)
            if before is not None:
                os.environ[DIRECTORY_VARIABLE] = before


def _builds() -> Iterator[Line]:
    for name, tables in (("nasbench201", _NB201), ("nasbench101", _NB101)):
        code = "from graphnas.benchmarks.cli import app; app()"
        arguments = ["build", name, *(part for table in tables for part in ("--from", str(_DATA / table)))]
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime
    yield within("build NAS-Bench-101, 423,624 modules", spent, 120, "s")
    yield within("build NAS-Bench-101, memory", end.ru_maxrss / 1e6, 1, "GB")  # the greater of the two builds


def _nasbench201() -> Iterator[Line]:
    start = time.perf_counter()
    table = Table.open()
    yield within("open a database", 1000 * (time.perf_counter() - start), 50, "ms")
    archs = [row["config"]["arch"] for row in query_nb201_trial_stats(None, 200, "cifar100")]
    for what, ask in (
        ("single cell, NAS-Bench-201", lambda arch: list(query_nb201_trial_stats(arch, 200, "cifar100"))),
        ("single cell, mean of it in a search", lambda arch: table.metrics(arch, "cifar100", 200)),
    ):
        yield at_least(what, _rate(ask, archs[:5000]), 10_000, "1/s")

    curve = _rate(lambda arch: next(query_nb201_trial_stats(arch, 200, "cifar100", None, True)), [_CURVES] * 300)
    yield at_least("single trial with 200 intermediate rows", curve, 300, "1/s")
    yield at_least("all trials, NAS-Bench-201", _scan(query_nb201_trial_stats(None, None, None)), 200_000, "rows/s")


def _nasbench101() -> Iterator[Line]:
    modules = itertools.islice(query_nb101_trial_stats(None, 108), 0, None, 100)
    archs = [row["config"]["arch"] for row in modules]
    lookup = _rate(lambda arch: list(query_nb101_trial_stats(arch, 108)), archs)
    yield at_least("single module under any numbering, its hash included", lookup, 3_000, "1/s")
    yield at_least("all trials, NAS-Bench-101", _scan(query_nb101_trial_stats(None, None)), 200_000, "rows/s")


def _rate(ask: Callable[[Any], object], items: Sequence[Any]) -> float:
    start = time.process_time()
    for item in items:
        ask(item)
    return len(items) / (time.process_time() - start)


def _scan(rows: Iterator[object]) -> float:
    start = time.process_time()
    count = sum(1 for _ in rows)
    return count / (time.process_time() - start)
