"""Long lines, broken where no formatter is at hand."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import graphnas
from graphnas.codegen.layout import WIDTH, broken
from tests.conftest import GOLDEN


@pytest.mark.parametrize("path", sorted((GOLDEN / "source").glob("*.py")), ids=lambda path: path.stem)
def test_lines_of_networks_fit_and_say_the_same(path: Path) -> None:
    long = ast.unparse(ast.parse(path.read_text(encoding="utf-8")))  # a line for each statement
    text = broken(long)
    assert ast.dump(ast.parse(text)) == ast.dump(ast.parse(long))
    assert all(len(line) <= WIDTH or '"""' in line for line in text.splitlines())


def test_items_stand_on_lines_of_their_own() -> None:
    items = ", ".join(f"nn.Conv2d({width}, {width}, kernel_size=3)" for width in (16, 32, 64))
    text = broken(f"class Net:\n    def __init__(self):\n        self.layers = nn.Sequential({items})\n")
    assert text.splitlines()[2:5] == [
        "        self.layers = nn.Sequential(",
        "            nn.Conv2d(16, 16, kernel_size=3),",
        "            nn.Conv2d(32, 32, kernel_size=3),",
    ]


def test_content_that_fits_stands_on_one_line() -> None:
    text = broken(f"result = function_of_a_long_name({'a' * 20}, {'b' * 20}, {'c' * 20})\n")
    assert text.splitlines()[1] == f"    {'a' * 20}, {'b' * 20}, {'c' * 20}"


def test_what_cannot_be_broken_stays() -> None:
    text = f'x = "{"long " * 30}"\n"""{"doc (string), " * 10}"""\n'
    assert broken(text) == text


@given(st.lists(st.text(max_size=30), max_size=6))
def test_strings_are_never_broken(values: list[str]) -> None:
    text = f"values = function(x, {', '.join(map(ascii, values))})\nother = [[{', '.join(map(ascii, values))}]]\n"
    assert ast.dump(ast.parse(broken(text))) == ast.dump(ast.parse(text))


def test_files_without_a_formatter_have_no_long_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphnas.codegen.load.shutil.which", lambda name: None)
    monkeypatch.setattr("graphnas.codegen.load.sys.executable", str(tmp_path / "python"))
    model = graphnas.trace(nn.Sequential(*(nn.Conv2d(4, 4, size) for size in (1, 3, 5, 1, 3))), torch.ones(1, 4, 9, 9))
    text = graphnas.save(model, tmp_path / "model.py").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "                for kernel_size in (1, 3, 5, 1, 3)\n" in text
