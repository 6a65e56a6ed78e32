"""The original files of NDS: `data.zip`, or the folder of its JSON files.

A file is named by proposer, generator and data set, as `DARTS_lr-wd_in.json`, and lists trainings; in some it is a
dictionary of two lists, `top` and `mid`. Their errors are kept as accuracies: 100 percent less the error.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.layouts import Step, Trial
from graphnas.benchmarks.nds.constants import PROPOSERS
from graphnas.benchmarks.nds.specs import cell_key, checked_cell_spec, checked_model_spec
from graphnas.errors import BenchmarkError, UnknownArchitectureError

_GENERATORS = {"fix-w-d": "fix_w_d", "lr-wd": "tune_lr_wd"}
_REPEATED = ("reruns", "rng1", "rng2", "rng3")
"""Files of further trainings of networks that were drawn at random."""

_FAMILIES = {
    "res_bottleneck": "residual_bottleneck",
    "res_basic": "residual_basic",
    "double_plain": "vanilla",
}
"""Beginning of the type of block, to the family."""

_FILES = 1_000_000_000
"""A position is this times the number of the file, plus the number of trainings read of it."""

_STEP = 500
_RECORD_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError, UnknownArchitectureError)


def recognise(path: Path) -> bool:
    """Tell whether a zip archive or folder holds files of NDS."""
    try:
        return bool(_names(path))
    except zipfile.BadZipFile:
        return False


def read(paths: Sequence[Path], start: int) -> Iterator[Step]:
    """Return the trainings after a position.

    Raises:
        BenchmarkError: A file is torn, or holds something else.
    """
    (path,) = paths
    names = _names(path)
    for place, name in enumerate(names):
        if place < start // _FILES:
            continue
        where = f"{path}: {name}"
        common = _common(PurePosixPath(name).stem, where)
        jobs = _jobs(_load(path, name), where)
        skipped = start % _FILES if place == start // _FILES else 0
        for first in range(skipped, len(jobs), _STEP):
            part = jobs[first : first + _STEP]
            trials = [_trial(job, common, f"{where}: training {first + number}") for number, job in enumerate(part)]
            done = (place + (first + len(part)) / len(jobs)) / len(names)
            yield Step(place * _FILES + first + len(part), done, trials)


def _names(path: Path) -> list[str]:
    """Return the names of the files of trainings, in their order."""
    if path.is_dir():
        found = [item.name for item in path.glob("*.json")]
    elif path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found = [name for name in archive.namelist() if name.endswith(".json")]
    else:
        return []
    return sorted(name for name in found if PurePosixPath(name).name.lower().startswith(PROPOSERS))


def _load(path: Path, name: str) -> Any:
    try:
        if path.is_dir():
            return json.loads((path / name).read_bytes())
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(name))
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise BenchmarkError(f"{path}: {name}: is torn: {error}; get it again") from error


def _common(stem: str, where: str) -> dict[str, Any]:
    """Return what the name of a file tells of all its trainings."""
    proposer, *marks = stem.split("_")
    generators = [_GENERATORS[mark] for mark in marks if mark in _GENERATORS]
    unknown = [mark for mark in marks if mark not in _GENERATORS and mark not in _REPEATED and mark != "in"]
    if proposer.lower() not in PROPOSERS or unknown or len(generators) > 1:
        raise BenchmarkError(f"{where}: expected a name such as DARTS_lr-wd_in.json of one of {', '.join(PROPOSERS)}")
    return {
        "proposer": proposer.lower(),
        "generator": generators[0] if generators else "random",
        "dataset": "imagenet" if "in" in marks else "cifar10",
    }


def _jobs(data: Any, where: str) -> list[Any]:
    parts: list[Any] = [data.get("top"), data.get("mid")] if isinstance(data, dict) else [data]
    if not all(isinstance(part, list) for part in parts):
        raise BenchmarkError(f"{where}: expected a list of trainings, or a dictionary of the lists top and mid")
    return [job for part in parts for job in part]


def _trial(job: Any, common: Mapping[str, Any], where: str) -> Trial:
    try:
        optim = job["optim"]
        epochs = int(optim["max_ep"])
        train_acc, test_acc = ([100 - error for error in job[name]] for name in ("train_ep_top1", "test_ep_top1"))
        losses = [None if loss is None or math.isnan(loss) else float(loss) for loss in job["train_ep_loss"]]
        if not len(train_acc) == len(test_acc) == len(losses) == epochs > 0:
            raise ValueError(f"expected {epochs} epochs, got {len(train_acc)}, {len(test_acc)} and {len(losses)}")
        config = {
            **_network(job["net"]),
            **common,
            "base_lr": float(optim["base_lr"]),
            "weight_decay": float(optim["wd"]),
            "num_epochs": epochs,
        }
        stats = {
            "seed": int(job["rng_seed"]),
            "final_train_acc": train_acc[-1],
            "final_train_loss": losses[-1],
            "final_test_acc": test_acc[-1],
            "best_train_acc": max(train_acc),
            "best_train_loss": min((loss for loss in losses if loss is not None), default=None),
            "best_test_acc": max(test_acc),
            "parameters": job["params"] / 1e6,
            "flops": job["flops"] / 1e6,
            "iter_time": float(job["iter_time"]),
        }
    except _RECORD_ERRORS as error:
        raise BenchmarkError(
            f"{where}: expected a training of NDS, got another record: {type(error).__name__}: {error}"
        ) from error
    return Trial(config, stats, list(zip(range(1, epochs + 1), losses, train_acc, test_acc, strict=True)))


def _network(net: Mapping[str, Any]) -> dict[str, Any]:
    """Return family and specifications of a network."""
    if "genotype" not in net:
        (family,) = (family for start, family in _FAMILIES.items() if net["block_type"].startswith(start))
        sizes, cells = {name: value for name, value in net.items() if value and name != "block_type"}, {}
    else:
        family, genotype = "nas_cell", net["genotype"]
        sizes = {f"num_nodes_{kind}": len(genotype[kind]) // 2 for kind in ("normal", "reduce")}
        sizes |= {name: net[name] for name in ("depth", "width", "aux", "drop_prob")}
        cells = checked_cell_spec(_cells(genotype))
    return {
        "model_family": family,
        "model_spec": canonical_json(checked_model_spec(sizes)),
        "cell_spec": canonical_json(cells),
        "cell_key": cell_key(cells),
    }


def _cells(genotype: Mapping[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for kind in ("normal", "reduce"):
        for place, (operation, source) in enumerate(genotype[kind]):
            node, side = place // 2, "xy"[place % 2]
            cells[f"{kind}_{node}_op_{side}"], cells[f"{kind}_{node}_input_{side}"] = operation, source
        cells[f"{kind}_concat"] = genotype[f"{kind}_concat"]
    return cells
