"""Published measurements, and databases that are queried.

The measurements lie beside the repository; without them, the tests that need them are skipped.
"""

from __future__ import annotations

import csv
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from graphnas.benchmarks.build import build
from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.layouts import Benchmark

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of published measurements."""
    if not DATA.is_dir():
        pytest.skip(f"needs the published measurements of {DATA}")
    return DATA


@pytest.fixture(scope="session")
def shared_table(shared_data: Path) -> Callable[[str], list[dict[str, str]]]:
    """Return a function that reads a compressed table."""

    def read(name: str) -> list[dict[str, str]]:
        with lzma.open(shared_data / name, "rt", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Benchmark, str], Path]:
    """Return a function that builds a database of a CSV table, and lets it be the one that is queried."""

    def install(benchmark: Benchmark, table: str) -> Path:
        (tmp_path / "trials.csv").write_text(table, encoding="utf-8")
        monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
        return build(benchmark, [tmp_path / "trials.csv"]).path

    return install
