"""Databases of NAS-Bench-101 for the tests: a small one, the first modules of the published tables, and all of them."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from graphnas.benchmarks.build import BuildReport, build
from graphnas.benchmarks.layouts import Benchmark
from graphnas.benchmarks.nasbench101.benchmark import BENCHMARK

SMALL = """arch,num_epochs,train_acc,valid_acc,test_acc,parameters,training_time
"{""op1"": ""conv3x3-bn-relu"", ""op2"": ""maxpool3x3"", ""input1"": [0], ""input2"": [0], ""input3"": [2, 1]}",108,99,93,92,2.5,1000
"{""op1"": ""conv3x3-bn-relu"", ""op2"": ""maxpool3x3"", ""input1"": [0], ""input2"": [0], ""input3"": [1, 2]}",108,98,91,91,2.5,1100
"{""op1"": ""conv3x3-bn-relu"", ""op2"": ""maxpool3x3"", ""input1"": [0], ""input2"": [0], ""input3"": [1, 2]}",4,50,,40,2.5,
"{""input1"": [0]}",108,80,70,60.5,0.75,10
"""  # noqa: E501  # rows of a table
OTHERS = ("nasbench101_valid_30k.csv.xz", "nasbench101_runs_3258.csv.gz", "nasbench101_full_records.json")


@pytest.fixture
def small(installed: Callable[[Benchmark, str], Path]) -> Path:
    """Build a database of four trials, and let it be the one that is queried."""
    return installed(BENCHMARK, SMALL)


@pytest.fixture(scope="session")
def first_modules(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the database of the first 3,000 modules from the published tables, and return its folder."""
    folder = tmp_path_factory.mktemp("nasbench101")
    with lzma.open(shared_data / "nasbench101.csv.xz", "rt", encoding="utf-8") as table:
        (folder / "modules.csv").write_text("".join(islice(table, 3001)), encoding="utf-8")
    build(BENCHMARK, [folder / "modules.csv", *(shared_data / name for name in OTHERS)], directory=folder)
    return folder


@pytest.fixture(scope="session")
def whole(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildReport:
    """Build the database of all 423,624 modules."""
    folder = tmp_path_factory.mktemp("nasbench101-whole")
    names = ("nasbench101.csv.xz", *OTHERS)
    return build(BENCHMARK, [shared_data / name for name in names], directory=folder)
