"""`python -m perf [NAME ...]`: measure, and print one table.

Every line gives the median of what is measured, a peer or a bound in the same run, and the ratio. Times are those of
the processor, since others may use the machine as well; only trials and the large decoder are timed by the clock.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

from perf.benchmarks import benchmarks
from perf.commands import commands
from perf.decoder import decoder
from perf.driver import fleet, growth, listing
from perf.line import Line
from perf.mutants import mutants
from perf.sampling import sampling
from perf.scaling import scaling
from perf.tracing import trace
from perf.trials import trials
from perf.writing import mutation, source

MEASUREMENTS: dict[str, Callable[[], Iterator[Line]]] = {
    "trace": trace,
    "mutation": mutation,
    "mutants": mutants,
    "sampling": sampling,
    "source": source,
    "decoder": decoder,
    "scaling": scaling,
    "trials": trials,
    "growth": growth,
    "fleet": fleet,
    "listing": listing,
    "benchmarks": benchmarks,
    "commands": commands,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m perf", description="Measure graphnas against its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--largest", type=int, default=10_000, help="nodes of the largest model of `scaling`")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"there is no measurement {unknown[0]!r}; there are {', '.join(MEASUREMENTS)}")
    torch.set_num_threads(1)
    measurements = MEASUREMENTS | {"scaling": partial(scaling, given.largest)}
    table = Table("what", "median", "peer or bound in the same run", "ratio")
    for name in given.names or list(MEASUREMENTS):
        for line in measurements[name]():
            table.add_row(*line)
    console = Console(width=160)
    console.print(f"torch {torch.__version__}, Python {platform.python_version()}, {torch.get_num_threads()} threads")
    console.print(table)


if __name__ == "__main__":
    main()
