"""Trainings of NDS in the layout of its files, made from the ones that NNI's documents show."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

CELLS = {
    "normal": [
        ["avg_pool_3x3", 0],
        ["conv_7x1_1x7", 1],
        ["sep_conv_3x3", 2],
        ["sep_conv_5x5", 0],
        ["dil_sep_conv_3x3", 2],
        ["dil_sep_conv_3x3", 2],
        ["skip_connect", 4],
        ["dil_sep_conv_3x3", 4],
        ["conv_7x1_1x7", 2],
        ["sep_conv_3x3", 4],
    ],
    "normal_concat": [3, 5, 6],
    "reduce": [
        ["avg_pool_3x3", 0],
        ["dil_sep_conv_3x3", 1],
        ["sep_conv_3x3", 0],
        ["sep_conv_3x3", 0],
        ["skip_connect", 2],
        ["sep_conv_7x7", 0],
        ["conv_7x1_1x7", 4],
        ["skip_connect", 4],
        ["conv_7x1_1x7", 0],
        ["conv_7x1_1x7", 5],
    ],
    "reduce_concat": [3, 6],
}


def job(net: dict[str, Any], *, seed: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a training of three epochs."""
    return {
        "job_id": 7,
        "rng_seed": seed,
        "exp_mem": 1.0,
        "act_mem": 1.0,
        "params": 4190314,
        "flops": 664400586,
        "prec_time": 0.1,
        "iter_time": 0.281,
        "min_test_top1": 6.63,
        "train_ep_loss": [1.793, float("nan"), 0.006],
        "train_ep_top1": [69.579, 0.09, 10.5],
        "test_ep_top1": [58.24, 6.63, 6.73],
        "train_it_loss": [],
        "train_it_top1": [],
        "optim": {"base_lr": 0.1, "wd": 0.0005, "max_ep": 3},
        "net": net,
    } | changes


def cell_net() -> dict[str, Any]:
    """Return the network of cells that NNI's documents show."""
    return {"genotype": CELLS, "depth": 12, "width": 32, "aux": False, "drop_prob": 0.0}


def staged_net(block_type: str, **sizes: Any) -> dict[str, Any]:
    """Return a network of stages."""
    sizes = {
        "ds": [1, 16, 1, 4],
        "ss": [1, 1, 2, 2],
        "ws": [16, 64, 128, 16],
        "bot_muls": [],
        "num_gs": [],
        "se": None,
    } | sizes
    return {"block_type": block_type, **sizes}


def archived(files: dict[str, Any], path: Path) -> Path:
    """Write a `data.zip`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, jobs in files.items():
            archive.writestr(f"nds_data/{name}", json.dumps(jobs))
    return path
