"""`python -m perf [NAME ...]`: measure, and print one table.

Every line gives the median of what is measured, the median of its peer in the same run, and the ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import itertools
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.fx
from rich.console import Console
from rich.table import Table
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

import graphnas
from graphnas.codegen import clear_cache
from perf.models import SwapKernel, Tiny, no_training, resnet18
from perf.timing import medians


class Line(NamedTuple):
    """One line of the table; times in seconds, a rate as trials per second."""

    what: str
    measured: str
    peer: str
    ratio: str


def trace() -> Iterator[Line]:
    """Tracing, both modes where they differ, against fx and against fx with fake shape propagation."""
    x = torch.randn(2, 3, 64, 64)
    net = resnet18()

    def fx_with_shapes() -> None:
        module = torch.fx.symbolic_trace(net)
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        FakeTensorProp(module, mode).propagate(x)

    ours, fx, shapes = medians(lambda: graphnas.trace(net, (x,)), lambda: torch.fx.symbolic_trace(net), fx_with_shapes)
    yield _times("trace ResNet-18", ours, fx, "torch.fx.symbolic_trace")
    yield _times("trace ResNet-18", ours, shapes, "fx + fake shape propagation")


def mutation() -> Iterator[Line]:
    """One sampled mutation, to a verified and fingerprinted model, against a copy of the fx graph alone."""
    net = resnet18()
    space = graphnas.ModelSpace(graphnas.trace(net, (torch.randn(2, 3, 64, 64),)), [SwapKernel(label="kernel")])
    graph = torch.fx.symbolic_trace(net).graph
    seeds = itertools.count()

    def mutate() -> str:
        return space.freeze(space.sample(next(seeds))).fingerprint

    ours, peer = medians(mutate, lambda: copy.deepcopy(graph))
    yield _times("mutate ResNet-18, verify, fingerprint", ours, peer, "copy.deepcopy of the fx graph")


def source() -> Iterator[Line]:
    """Source of a whole model, cold and with its classes known, against fx's own code generation."""
    net = resnet18()
    model = graphnas.trace(net, (torch.randn(2, 3, 64, 64),))
    module = torch.fx.symbolic_trace(net)

    def cold() -> None:
        clear_cache()
        graphnas.to_source(model)

    ours, again, peer = medians(cold, lambda: graphnas.to_source(model), lambda: module.graph.python_code("self"))
    yield _times("source of ResNet-18, first time", ours, peer, "fx python_code (flat forward only)")
    yield _times("source of ResNet-18, again", again, peer, "fx python_code (flat forward only)")


def trials() -> Iterator[Line]:
    """Empty trials per second with the store on disk, against the bare loop of building and calling."""
    for executor, workers, count in (("inprocess", 1, 500), ("process", 2, 500)):
        with tempfile.TemporaryDirectory() as folder:
            experiment = graphnas.RetiariiExperiment(
                graphnas.ModelSpace(Tiny()),
                graphnas.FunctionalEvaluator(no_training),
                strategy=graphnas.strategy.Random(dedup=False, seed=0),
            )
            config = graphnas.RetiariiExeConfig(
                trial_concurrency=workers,
                max_trial_number=count,
                executor=executor,
                experiment_directory=Path(folder) / "run",
            )
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                experiment.run(config)
            seconds = time.perf_counter() - start
            durations = [float(row["duration_s"] or 0) for row in experiment.trials()]
        [bare] = medians(lambda: no_training(Tiny), repeats=200)
        rate, bound = count / seconds, workers / bare
        yield Line(
            f"empty trials, {executor}, {workers} worker(s), start included",
            f"{rate:.0f}/s",
            f"{bound:.0f}/s build and call alone",
            f"{rate / bound:.3f} (trials themselves took {sum(durations):.2f} s of {seconds:.2f} s)",
        )


MEASUREMENTS: dict[str, Callable[[], Iterator[Line]]] = {
    "trace": trace,
    "mutation": mutation,
    "source": source,
    "trials": trials,
}


def _times(what: str, ours: float, peer: float, name: str) -> Line:
    return Line(what, f"{1e3 * ours:.2f} ms", f"{1e3 * peer:.2f} ms {name}", f"{ours / peer:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m perf", description="Measure graphnas against its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(MEASUREMENTS)}")
    names: list[Any] = parser.parse_args().names or list(MEASUREMENTS)
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"there is no measurement {unknown[0]!r}; there are {', '.join(MEASUREMENTS)}")
    table = Table("what", "median", "peer in the same run", "ratio")
    for name in names:
        for line in MEASUREMENTS[name]():
            table.add_row(*line)
    console = Console(width=160)
    console.print(f"torch {torch.__version__}, Python {platform.python_version()}, {torch.get_num_threads()} threads")
    console.print(table)


if __name__ == "__main__":
    main()
