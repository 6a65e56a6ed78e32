"""Packing one's own modules for other machines."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from graphnas.errors import ExperimentError
from graphnas.experiment.executors import shipping
from graphnas.experiment.executors.shipping import pack_sources, unpack_sources


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module and a package of the user, imported from a folder of theirs."""
    folder = tmp_path / "mine"
    (folder / "shipped_package" / "deep").mkdir(parents=True)
    (folder / "shipped_module.py").write_text("import shipped_package\nVALUE = 40\n")
    (folder / "never_imported.py").write_text("")
    (folder / "shipped_package" / "__init__.py").write_text("")
    (folder / "shipped_package" / "deep" / "later.py").write_text("import shipped_module\nVALUE = 2\n")
    monkeypatch.syspath_prepend(str(folder))
    importlib.import_module("shipped_module")
    for name in ("shipped_module", "shipped_package"):
        monkeypatch.setitem(sys.modules, name, sys.modules[name])  # taken out again after the test
    return folder


def test_own_modules_travel_and_installed_ones_do_not(own_modules: Path, tmp_path: Path) -> None:
    packed = pack_sources()
    names = zipfile.ZipFile(io.BytesIO(packed)).namelist()
    assert {"shipped_module.py", "shipped_package/__init__.py", "shipped_package/deep/later.py"} <= set(names)
    roots = {name.partition("/")[0] for name in names}
    assert not roots & {"never_imported.py", "graphnas", "torch", "pytest", "json", "__main__.py"}
    assert pack_sources() == packed
    unpack_sources(packed, tmp_path / "there")
    code = "import shipped_package.deep.later as later, shipped_module; print(later.VALUE + shipped_module.VALUE)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path / "there"
    )
    assert ran.stdout == "42\n"


def test_too_much_source_is_refused(own_modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "MAX_BYTES", 10)
    with pytest.raises(ExperimentError, match="too much to send to the cluster; install them there as a package"):
        pack_sources()
