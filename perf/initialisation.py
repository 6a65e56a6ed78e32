"""`python -m perf.initialisation [--zoo FOLDER] [NAME ...]`: does a generated module start as the original starts?

Every model is built while recording under the seeds 0, 1, …, and so is the class that is generated of it. Two things
are asked of each parameter. Is it the same tensor under the same seed? And do its values, over all seeds, have the same
mean and standard deviation within sampling error? The latter is a two-sided test of the difference at `LIMIT` of its
own standard errors; that of a standard deviation comes from the fourth moment, so no normal distribution is assumed. At
6 standard errors one in 500 million parameters fails by chance. Parameters that are constant must be the same constant.

A model whose parameters are all the same tensors under the first two seeds is not built more often, unless `--all` is
given: what is equal has an equal distribution.

Without `--zoo` the networks of the tests are measured. With it, those of `FOLDER/corpus_dev.tsv`, in the interpreter of
that zoo: `PYTHONPATH=. $ZOO_HOME/venv/bin/python -m perf.initialisation --zoo ../shared/zoo`.
"""

from __future__ import annotations

import argparse
import importlib
import math
import random
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import graphnas

LIMIT = 6.0
"""Most standard errors by which a mean or a standard deviation may differ."""

Build = Callable[[int], nn.Module]


class Case(NamedTuple):
    """A model to be measured: its name, how it is built under a seed, and an example of its input."""

    name: str
    build: Build
    inputs: Callable[[], tuple[Any, ...]]


@dataclass(frozen=True)
class Outcome:
    """What was found.

    Attributes:
        parameters: How many parameters the model has.
        same: How many of them are the same tensors under every seed.
        off: Those whose mean or standard deviation differs, with both of each.
        note: The first note of the report about initialisation, or the error that stopped the measurement.
    """

    parameters: int
    same: int
    off: tuple[str, ...]
    note: str = ""


def measure(case: Case, seeds: int, *, everything: bool = False) -> Outcome:
    """Return how the generated module of a model starts, compared with the model itself."""
    with graphnas.recording():
        net = case.build(0)
    model = graphnas.trace(net, case.inputs())
    generated = type(graphnas.to_module(model))
    names = [name for name, _ in net.named_parameters()]
    same = dict.fromkeys(names, True)
    moments: dict[str, tuple[Moments, Moments]] = {name: (Moments(), Moments()) for name in names}
    for seed in range(seeds):
        original = dict((net if seed == 0 else case.build(seed)).named_parameters())
        seed_everything(seed)
        built = dict(generated().named_parameters())
        for name in names:
            mine, theirs = original[name].detach(), built[name].detach()
            same[name] = same[name] and torch.equal(mine, theirs)
            for moment, tensor in zip(moments[name], (mine, theirs), strict=True):
                moment.add(tensor)
        if seed == 1 and all(same.values()) and not everything:
            break
    off = tuple(f"{name}: {a} against {b}" for name, (a, b) in moments.items() if not a.agrees(b))
    notes = [note for note in ([] if model.report is None else model.report.notes) if "initialis" in note]
    return Outcome(len(names), sum(same.values()), off, (notes or [""])[0])


class Moments:
    """Sums of powers of what was seen, in double precision."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = torch.zeros(4, dtype=torch.float64)
        self.shift: float | None = None

    def add(self, tensor: torch.Tensor) -> None:
        """Take the values of a tensor."""
        values = tensor.flatten().to(torch.float64)
        if self.shift is None:  # sums of what is far from zero would cancel
            self.shift = float(values[0]) if len(values) else 0.0
        values = values - self.shift
        self.count += len(values)
        self.sums += torch.stack([(values**power).sum() for power in (1, 2, 3, 4)])

    @property
    def mean(self) -> float:
        """The mean."""
        return (self.shift or 0.0) + float(self.sums[0]) / max(self.count, 1)

    @property
    def std(self) -> float:
        """The standard deviation."""
        return math.sqrt(self._central()[0])

    def agrees(self, other: Moments) -> bool:
        """Tell whether two samples may well come from one distribution, by mean and standard deviation."""
        (variance, fourth), (variance_2, fourth_2) = self._central(), other._central()
        if not variance or not variance_2:
            return variance == variance_2 and self.mean == other.mean
        error = math.sqrt(variance / self.count + variance_2 / other.count)
        errors = [
            max(fourth_moment - spread**2, 0) / (4 * spread * count)
            for spread, fourth_moment, count in ((variance, fourth, self.count), (variance_2, fourth_2, other.count))
        ]
        near = abs(self.mean - other.mean) <= LIMIT * error
        return near and abs(self.std - other.std) <= LIMIT * max(math.sqrt(sum(errors)), 1e-6 * self.std)

    def _central(self) -> tuple[float, float]:
        first, second, third, fourth = (float(item) / max(self.count, 1) for item in self.sums)
        variance = max(second - first**2, 0.0)
        if variance <= 1e-12 * max(second, first**2):
            variance = 0.0
        return variance, fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.std:.4g}"


def seed_everything(seed: int) -> None:
    """Seed every generator that a constructor may draw from."""
    torch.manual_seed(seed)
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)


def networks_of_tests() -> Iterator[Case]:
    """Yield the networks that the tests build themselves."""
    zoo = importlib.import_module("tests.zoo").ZOO
    for name, (build, inputs) in zoo.items():
        yield Case(name, _seeded(build), lambda inputs=inputs: _as_tuple(inputs(2)))  # type: ignore[misc]  # bound early


def networks_of_zoo(folder: Path) -> Iterator[Case]:
    """Yield the networks of a corpus, built as the exam builds them, with torch as it is."""
    sys.path.insert(0, str(folder))
    common = importlib.import_module("zoocommon")
    plain = torch.Tensor.erfinv_
    common.setup()
    torch.Tensor.erfinv_ = plain  # type: ignore[method-assign]  # the exam replaces it for speed
    for row in common.read_tsv(folder / "corpus_dev.tsv"):
        yield Case(
            row["id"],
            lambda seed, row=row: common.construct(row["ctor"], seed),  # type: ignore[misc]  # bound early
            lambda row=row: common.make_inputs(row["inputs"], 1),  # type: ignore[misc]  # as above
        )


def _seeded(build: Callable[[], nn.Module]) -> Build:
    def seeded(seed: int) -> nn.Module:
        seed_everything(seed)
        return build()

    return seeded


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m perf.initialisation", description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="regular expressions that names must match")
    parser.add_argument("--zoo", type=Path, help="folder of a zoo; its interpreter must run this")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--all", action="store_true", help="build models under every seed, the same or not")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pattern = re.compile("|".join(given.names))
    cases = networks_of_tests() if given.zoo is None else networks_of_zoo(given.zoo)
    measured = same = agreeing = parameters = same_parameters = off = 0
    for case in cases:
        if not pattern.search(case.name):
            continue
        try:
            found = measure(case, given.seeds, everything=given.all)
        except Exception as error:  # whatever stops one model must not stop the others
            print(f"{case.name}: not measured: {type(error).__name__}: {str(error).splitlines()[0][:120]}", flush=True)
            continue
        measured += 1
        same += found.same == found.parameters
        agreeing += not found.off
        parameters, same_parameters, off = (
            parameters + found.parameters,
            same_parameters + found.same,
            off + len(found.off),
        )
        print(
            f"{case.name}: {found.same}/{found.parameters} the same, {len(found.off)} off {found.note[:100]}",
            flush=True,
        )
        for line in found.off[:5]:
            print(f"    {line}", flush=True)
    print(f"models: {measured}; the same tensors in {same}; mean and standard deviation agree in {agreeing}")
    print(f"parameters: {parameters}; the same tensors {same_parameters}; mean or standard deviation off {off}")


if __name__ == "__main__":
    main()
