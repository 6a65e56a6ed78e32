from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from graphnas.experiment.evaluators.reference import reference_to, resolve
from graphnas.mutators.scripts import load_script, script_of
from graphnas.mutators.serialize import code_reference, resolve_class


@pytest.fixture(autouse=True)
def _imports_as_before() -> Iterator[None]:
    modules, path = dict(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]


def test_a_script_goes_by_its_name_and_finds_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "blocks_beside.py").write_text("class Block: pass\n")
    script = tmp_path / "own_net.py"
    script.write_text("from blocks_beside import Block\nclass Net(Block): pass\nif __name__ == '__main__': 1 / 0\n")
    module = load_script(script)
    assert module.__name__ == "own_net"
    assert load_script(script) is module
    assert script_of(module) == script
    assert reference_to(module.Net) == {"script": str(script), "name": "Net"}
    assert code_reference(module.Net) == {"file": str(script), "name": "Net"}
    assert resolve({"script": str(script), "name": "Net"}) is module.Net
    assert resolve_class({"file": str(script), "name": "Net"}) is module.Net, "both loaders give one class"
    assert reference_to(sys.modules["blocks_beside"].Block) == {"import": "blocks_beside:Block"}


@pytest.mark.parametrize("name", ["json.py", "torch.py", "two words.py"])
def test_a_script_whose_name_is_taken_gets_another(tmp_path: Path, name: str) -> None:
    script = tmp_path / name
    script.write_text("class Net: pass\n")
    module = load_script(script)
    assert module.__name__.startswith("_graphnas_script_")
    assert load_script(script) is module


def test_two_scripts_of_one_name_are_two_modules(tmp_path: Path) -> None:
    modules: list[ModuleType] = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name.py").write_text(f"where = {folder!r}\n")
        modules.append(load_script(tmp_path / folder / "same_name.py"))
    assert [module.where for module in modules] == ["a", "b"]


def test_a_script_that_fails_is_not_kept(tmp_path: Path) -> None:
    script = tmp_path / "half.py"
    script.write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        load_script(script)
    assert "half" not in sys.modules
    with pytest.raises(FileNotFoundError, match="is not there"):
        load_script(tmp_path / "none.py")
