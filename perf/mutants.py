"""Distinct mutants of a ResNet-50, each one edit away from it, verified and fingerprinted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

import graphnas
from graphnas.ir.literal import FrozenDict
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, ModuleSpec
from graphnas.ir.rewrite import Rewriter
from perf.line import Line, within
from perf.models import ResNet50
from perf.timing import seconds
from perf.tracing import IMAGE, recorded

_SHARE = 200
_TIME_S = 3.0
_STEM_MS = 30.0

_BLOCKS = [f"layer{stage}.{block}" for stage, depth in enumerate((3, 4, 6, 3), 1) for block in range(depth)]
_ACTIVATIONS: tuple[str, ...] = (
    "GELU",
    "SiLU",
    "Hardswish",
    "ELU",
    "Mish",
    "LeakyReLU",
    "Tanh",
    "Sigmoid",
    "Softplus",
    "SELU",
    "CELU",
)
_ACTIVATIONS += ("Hardsigmoid", "LogSigmoid", "Softsign")
_RUNS: tuple[tuple[str, ...], ...] = (
    ("bn1",),
    ("relu",),
    ("bn2",),
    ("relu_1",),
    ("bn3",),
    ("bn1", "relu"),
    ("bn2", "relu_1"),
    ("conv2",),
    ("relu", "conv2"),
    ("conv2", "bn2"),
    ("bn1", "relu", "conv2"),
    ("bn1", "relu", "conv2", "bn2"),
    ("relu", "conv2", "bn2", "relu_1"),
    ("bn1", "relu", "conv2", "bn2", "relu_1"),
)
"""Nodes of a block in a row, the last of which gives a tensor like the one that the first takes."""

_STRIDED = ("layer2.0", "layer3.0", "layer4.0")
"""Blocks whose `conv2` does not."""

_Edit = Callable[[Rewriter], object]


def mutants() -> Iterator[Line]:
    """A thousand mutants, in equal shares of five kinds, and one that changes the type of every value."""
    model = graphnas.trace(recorded(ResNet50), (IMAGE,))
    assert model.fingerprint  # a search knows what it starts from
    shares = [list(kind())[:_SHARE] for kind in (_kernels, _activations, _widths, _insertions, _removals)]
    assert [len(share) for share in shares] == [_SHARE] * len(shares)
    edits = list(chain.from_iterable(zip(*shares, strict=True)))
    start = time.process_time()
    found = {_mutated(model, edit) for edit in edits}
    total = time.process_time() - start
    assert len(found) == len(edits), "all of them are distinct"
    yield within(f"{len(edits):,} mutants of ResNet-50, verified and fingerprinted", total, _TIME_S, "s")
    stems = [partial(_update, "conv1", {"kernel_size": size, "padding": 0}) for size in range(9, 25, 2)]
    stem = statistics.median(seconds(partial(_mutated, model, edit)) for edit in stems)
    yield within("edit of the stem of ResNet-50, verified and fingerprinted", 1e3 * stem, _STEM_MS, "ms")


def _mutated(model: Model, edit: _Edit) -> str:
    with Rewriter(model) as rewriter:
        edit(rewriter)
    assert rewriter.result is not None
    return rewriter.result.fingerprint


def _kernels() -> Iterator[_Edit]:
    for size in range(5, 31, 2):
        for block in _BLOCKS:
            yield partial(_update, f"{block}.conv2", {"kernel_size": size, "padding": size // 2})


def _update(path: str, arguments: Mapping[str, int], edit: Rewriter) -> None:
    edit.update_module(path, **arguments)


def _activations() -> Iterator[_Edit]:
    for name in _ACTIVATIONS:
        for block in _BLOCKS:
            yield partial(_replace, f"{block}.relu", ModuleSpec(f"torch.nn:{name}"))


def _replace(path: str, module: ModuleSpec, edit: Rewriter) -> None:
    edit.set_module(path, module)


def _widths() -> Iterator[_Edit]:
    for width in range(72, 180, 8):
        for block in _BLOCKS:
            if width != 128:
                yield partial(_widen, block, width)


def _widen(block: str, width: int, edit: Rewriter) -> None:
    edit.update_module(f"{block}.conv1", out_channels=width)
    edit.update_module(f"{block}.bn1", num_features=width)
    edit.update_module(f"{block}.conv2", in_channels=width)


def _insertions() -> Iterator[_Edit]:
    for percent in (5, 10, 15, 20, 25):
        for block in _BLOCKS:
            for name in ("conv1", "conv2", "conv3"):
                dropout = ModuleSpec("torch.nn:Dropout2d", (), FrozenDict({"p": percent / 100}))
                yield partial(_insert, f"{block}:{name}", dropout)


def _insert(site: str, module: ModuleSpec, edit: Rewriter) -> None:
    edit.insert_after(site, module)


def _removals() -> Iterator[_Edit]:
    for run in _RUNS:
        for block in _BLOCKS:
            if not (block in _STRIDED and "conv2" in run):
                yield partial(_remove, block, run)


def _remove(block: str, run: Sequence[str], edit: Rewriter) -> None:
    definition = edit[block]
    assert isinstance(definition, Definition)
    [given] = definition.forwards[0].eval[run[0]].inputs
    edit.replace_all_uses_with(f"{block}:{run[-1]}", given)
    for name in reversed(run):
        edit.erase(f"{block}:{name}")
