"""What the graph engine does with a space's models and generated source; both are stand-ins here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graphnas import codegen
from graphnas.errors import VerificationError
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.strategies import Random

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
