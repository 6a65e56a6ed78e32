"""Eight networks of the field, generated: they compute the same, and their source is what a review would take."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
import torch

import graphnas
from graphnas.codegen import to_module, to_source
from tests.codegen.roundtrip import copies, same
from tests.conftest import GOLDEN
from tests.zoo import ZOO


@lru_cache(maxsize=1)
def traced(name: str) -> tuple[torch.nn.Module, graphnas.Model]:
    build, inputs = ZOO[name]
    torch.manual_seed(0)
    with graphnas.recording():
        net = build()
    return net, graphnas.trace(net, inputs(2))


@pytest.mark.parametrize("name", ZOO)
def test_generated_networks_compute_the_same(name: str) -> None:
    net, model = traced(name)
    generated = to_module(model)
    generated.load_state_dict(net.state_dict(), strict=True)
    for training, batch in ((False, 3), (True, 2)):
        outputs = []
        for module in (net, generated):
            torch.manual_seed(0)
            outputs.append(module.train(training)(*copies(ZOO[name][1](batch))))
        assert same(outputs[0], outputs[1])


@pytest.mark.parametrize("name", ZOO)
def test_generated_networks_generate_themselves(name: str) -> None:
    _, model = traced(name)
    source = to_source(model)
    with graphnas.recording():
        again = graphnas.trace(to_module(model), ZOO[name][1](2))
    assert to_source(again).partition("\nimport ")[2] == source.partition("\nimport ")[2]


@pytest.mark.parametrize("name", ZOO)
def test_golden_source(name: str, golden: Callable[[str, str], None], tmp_path: Path) -> None:
    _, model = traced(name)
    text = graphnas.save(model, tmp_path / "model.py").read_text(encoding="utf-8")
    golden(f"source/{name}.py", text.replace(model.fingerprint, "..."))  # it changes with what is hashed


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_golden_sources_are_clean(command: list[str]) -> None:
    """By the default settings of ruff: nothing of this project's counts."""
    ruff = [sys.executable, "-m", "ruff", *command, "--isolated", str(GOLDEN / "source")]
    done = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
