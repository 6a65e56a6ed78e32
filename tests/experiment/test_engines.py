"""What the graph engine does with a space's models and generated source; both are stand-ins here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from graphnas import codegen
from graphnas.errors import DecisionError, VerificationError
from graphnas.experiment.engines import PyEngine
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.strategies import Random
from graphnas.ir.trace import trace
from graphnas.mutators import ModelSpace, Mutator

from . import samples
from .samples import GridSpace, quick_config


@dataclass
class Frozen:
    name: str
    fingerprint: str
    source: str


class GraphSpace(GridSpace):
    def freeze(self, decisions: Mapping[str, Any]) -> Frozen:
        width, depth = decisions["width"], decisions["depth"]
        if width == 2:
            raise VerificationError("expected 2, got 3", invariant=4, site="layer")
        source = (
            "from torch import nn\n\n\nclass Net(nn.Linear):\n"
            f"    def __init__(self):\n        super().__init__({width}, {depth})\n"
        )
        return Frozen("Net", f"{width}x{depth}", source)

    def instantiate(self, decisions: Mapping[str, Any]) -> Any:
        raise NotImplementedError("the graph engine does not re-instantiate")


def save(model: Frozen, path: Path) -> Path:
    path.write_text(model.source)
    return path


class Resize(Mutator):
    def mutate(self, model: Any) -> None:
        if self.choice([False, True], label="edit"):
            model.update_module("0", out_features=self.choice([3, 5], label="size"))


def test_choices_that_no_strategy_can_see_are_drawn_in_the_same_way_each_time(tmp_path: Path) -> None:
    space = ModelSpace(trace(nn.Sequential(nn.Linear(2, 4)), (torch.zeros(1, 2),)), [Resize(label="resize")])
    assert list(space.domains) == ["@resize/edit"]
    drawn = [PyEngine.prepare(space, {"@resize/edit": True}, tmp_path).decisions for _ in range(3)]
    assert drawn[0]["@resize/size"] in (3, 5)
    assert drawn[1:] == drawn[:-1]
    assert PyEngine.prepare(space, {"@resize/edit": False}, tmp_path).decisions == {"@resize/edit": False}
    with pytest.raises(DecisionError, match="label '@resize/edit' is missing"):
        PyEngine.prepare(space, {}, tmp_path)


@pytest.mark.filterwarnings("ignore:base_model. cannot be stored:UserWarning")
def test_the_graph_engine_builds_from_source_and_records_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codegen, "save", save, raising=False)
    monkeypatch.setattr(codegen, "to_source", lambda model: model.source, raising=False)
    run = RetiariiExperiment(GraphSpace(), FunctionalEvaluator(samples.weights), strategy=Random(seed=0))
    run.run(quick_config(tmp_path, execution_engine="graph"))
    for row in run.trials():
        width, depth = row["decisions"]["width"], row["decisions"]["depth"]
        if width == 2:
            assert (row["status"], row["fingerprint"]) == ("INVALID", None)
            assert row["error"] == "VerificationError: expected 2, got 3"
        else:
            assert (row["status"], row["metric"]) == ("COMPLETED", width * depth)
            assert row["fingerprint"] == f"{width}x{depth}"
            assert "class Net" in (tmp_path / "trials" / str(row["number"]) / "model.py").read_text()
    (source,) = run.export_top_models(formatter="code")
    assert isinstance(source, str)
    assert "super().__init__(4, 3)" in source
