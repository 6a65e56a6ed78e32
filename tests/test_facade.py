"""The public face: every name is there, and none is paid for before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import graphnas
from graphnas.strategy import RegularizedEvolution

LIGHT = """
import sys
import graphnas
heavy = [name for name in ("torch", "libcst", "peewee", "rich", "networkx") if name in sys.modules]
print(heavy)
"""


def test_every_public_name_resolves() -> None:
    assert sorted(graphnas.__all__) == sorted(set(graphnas.__all__))
    for name in graphnas.__all__:
        assert getattr(graphnas, name) is not None
    assert graphnas.strategy.RegularizedEvolution is RegularizedEvolution


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'graphnas' has no attribute 'Nothing'"):
        graphnas.Nothing  # noqa: B018  # reading it is the test


def test_importing_the_package_imports_nothing_heavy() -> None:
    child = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"
