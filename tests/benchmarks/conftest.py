"""Published measurements that lie beside the repository; without them, the tests that need them are skipped."""

from __future__ import annotations

import csv
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

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
