"""What only reads must start at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

READERS = (
    "graphnas.experiment.config",
    "graphnas.experiment.store",
    "graphnas.experiment.folders",
    "graphnas.experiment.results",
    "graphnas.experiment.summary",
    "graphnas.experiment.console",
    "graphnas.cli.app",
    "graphnas.cli.reading",
)


@pytest.mark.parametrize("module", READERS)
def test_a_reader_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'numpy', 'libcst'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
