"""Databases of NAS-Bench-201 for the tests: a small one, and the whole of the published tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graphnas.benchmarks.build import build
from graphnas.benchmarks.layouts import Benchmark
from graphnas.benchmarks.nasbench201.benchmark import BENCHMARK

SMALL = """arch,dataset,num_epochs,seed,train_acc,valid_acc,test_acc,parameters,training_time,valid_evaluation_time
|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,cifar100,200,777,1,2,3,0.07,1000,0.5
|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,cifar100,200,888,2,3,5,0.07,1000,0.5
|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,cifar100,12,777,,,1.5,0.07,60,
|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|,ImageNet16-120,200,777,50.5,40.25,41,0.3,5000,0.3
"""


@pytest.fixture
def small(installed: Callable[[Benchmark, str], Path]) -> Path:
    """Build a database of four trials, and let it be the one that is queried."""
    return installed(BENCHMARK, SMALL)


@pytest.fixture(scope="session")
def whole(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the database of all 15,625 cells from the published tables, and return its folder."""
    names = (
        "natsbench_tss_3archs_curves.csv.xz",
        "nasbench201.csv.xz",
        "nasbench201_first1000_stats.csv.gz",
        "nasbench201_c10_trials.csv.gz",
        "natsbench_tss_3archs_trials.csv",
        "nasbench201_device_latency_ms.csv.xz",
    )
    folder = tmp_path_factory.mktemp("nasbench201")
    build(BENCHMARK, [shared_data / name for name in names], directory=folder)
    return folder
