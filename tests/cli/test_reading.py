"""`ls`, `show`, `view`, `export`, `rm` without a terminal: what they print, and with which code they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import graphnas as library
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.store import Store
from graphnas.experiment.strategies import Random

from .conftest import Commands


def test_a_list_has_a_line_for_each_experiment(graphnas: Commands, finished: str, home: Path) -> None:
    (home / "torn").mkdir()
    (home / "torn" / "experiment.db").write_bytes(b"not a database" * 100)
    lines = graphnas("ls").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", finished, "torn"]
    assert lines[1].split()[1:7] == ["grid", "space", "exhausted", "12", "3", lines[1].split()[6]]
    assert "cannot be read" in lines[2]
    first, second = graphnas.json("ls")
    assert (first["id"], first["counts"], first["best"]) == (finished, {"COMPLETED": 9, "INVALID": 3}, 3.0)
    assert second["state"] == "unreadable"


def test_an_empty_home_is_said_to_be_empty(graphnas: Commands, home: Path) -> None:
    result = graphnas("ls")
    assert (result.stdout, result.stderr) == ("", f"no experiments in {home}\n")
    assert graphnas.json("ls") == []


def test_an_experiment_is_shown_by_the_beginning_of_its_id(graphnas: Commands, finished: str) -> None:
    text = graphnas("show", finished[:-3], "--top", "2").stdout
    assert f"experiment  {finished} grid" in text
    assert "trials      9 completed, 3 invalid" in text
    assert "best        3 (trial " in text
    assert text.count("COMPLETED") == 2
    assert "first invalid: trial " in text
    assert "MutationError: width 2 fits nothing" in text
    form = graphnas.json("show", finished, "--top", "2")
    assert len(form["top"]) == 2
    assert form["config"]["experiment_name"] == "grid"
    assert graphnas("view", finished).stdout.startswith(f"experiment  {finished}")
    assert graphnas.json("view", finished)["id"] == finished


def test_trials_are_listed_in_pages_and_by_status(graphnas: Commands, finished: str) -> None:
    page = graphnas.json("show", finished, "--from", "3", "--count", "4")["trials"]
    assert [row["number"] for row in page] == [3, 4, 5, 6]
    assert [row["number"] for row in graphnas.json("show", finished, "--last", "2")["trials"]] == [10, 11]
    invalid = graphnas.json("show", finished, "--status", "invalid")["trials"]
    assert [row["decisions"]["width"] for row in invalid] == [2, 2, 2]
    text = graphnas("show", finished, "--status", "INVALID").stdout
    assert text.count("INVALID") == 3
    error = graphnas("show", finished, "--status", "lazy", code=2).stderr
    assert "--status: expected one of waiting, running, completed" in error


def test_one_trial_is_shown_whole(graphnas: Commands, finished: str) -> None:
    trials = graphnas.json("show", finished, "--from", "0")["trials"]
    good = next(row["number"] for row in trials if row["status"] == "COMPLETED")
    bad = next(row["number"] for row in trials if row["status"] == "INVALID")
    form = graphnas.json("show", finished, str(good))
    assert form["intermediate"] == [0.5]
    text = graphnas("show", finished, str(good)).stdout
    assert "status            COMPLETED" in text
    assert "reported          0.5" in text
    assert "metric            size = " in text
    assert "Traceback" in graphnas("show", finished, str(bad)).stdout
    error = graphnas("show", finished, "99", code=3).stderr
    assert "there is no trial 99; they are numbered from 0 to 11" in error


def test_errors_are_codes_and_with_json_also_json(graphnas: Commands, finished: str) -> None:
    assert "there is no experiment.db in" in graphnas("show", "2019", code=3).stderr
    error = graphnas.json("export", "2019", code=3)["error"]
    assert (error["kind"], error["exit_code"]) == ("StoreError", 3)
    assert "Invalid value for '--top'" in graphnas("export", finished, "--top", "0", code=2).stderr
    assert "No such option" in graphnas("ls", "--jsn", code=2).stderr


def test_decisions_are_exported_without_code(graphnas: Commands, finished: str, tmp_path: Path) -> None:
    decisions = json.loads(graphnas("export", finished).stdout)
    assert decisions["depth"] == 3
    worst = json.loads(graphnas("export", finished, "--mode", "minimize").stdout)
    assert worst["depth"] == 1
    rows = graphnas.json("export", finished, "--top", "3")
    assert [row["metric"] for row in rows] == [3.0, 3.0, 3.0]
    paths = graphnas("export", finished, "-f", "json", "--top", "2", "-o", str(tmp_path / "out")).stdout.split()
    assert [json.loads(Path(path).read_text()) for path in paths] == [row["decisions"] for row in rows[:2]]
    number = rows[1]["number"]
    assert graphnas.json("export", finished, "--trial", str(number))[0]["decisions"] == rows[1]["decisions"]
    error = graphnas("export", finished, "--format", "code", code=1).stderr
    assert "its source was not kept" in error
    error = graphnas("export", finished, "--format", "code", "--run-code", code=1).stderr
    assert "the store could not keep its model" in error


def test_what_does_not_run_need_not_be_stopped(graphnas: Commands, finished: str) -> None:
    assert f"{finished} is not running: space exhausted" in graphnas("stop", finished).stdout
    assert graphnas.json("stop", finished)["stopped_process"] is None


@library.model_wrapper
class Shifted(nn.Module):
    """Has a constant that is too large for source."""

    def __init__(self) -> None:
        super().__init__()
        width = library.ValueChoice([4, 8], label="width")
        self.layer = nn.Linear(64, width)
        generator = torch.Generator().manual_seed(0)
        self.shift: torch.Tensor
        self.register_buffer("shift", torch.rand(64, 64, generator=generator), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x + self.shift)  # type: ignore[no-any-return]  # modules are not typed


def layer_width(build_model: object) -> float:
    return float(build_model().layer.out_features)  # type: ignore[operator]  # any callable


def test_source_is_exported_with_the_constants_that_it_reads(graphnas: Commands, home: Path, tmp_path: Path) -> None:
    space = library.ModelSpace(Shifted(), example_inputs=torch.zeros(64, 64))
    run = RetiariiExperiment(space, FunctionalEvaluator(layer_width), None, Random(seed=1))
    run.run(RetiariiExeConfig(executor="inprocess"))
    printed = graphnas("export", run.id, "--format", "code")
    assert "nn.Linear(64, 8)" in printed.stdout
    sources = graphnas("export", run.id, "-f", "code", "--top", "2", "-o", str(tmp_path / "out")).stdout.split()
    assert len(sources) == len({*sources}) == 2
    for source in map(Path, sources):
        reads = [path.name for path in source.parent.glob("*.safetensors")]
        assert all(name in source.read_text() for name in reads)
        assert ("safetensors" in source.read_text()) == bool(reads)
    assert graphnas.json("export", run.id, "-f", "code")[0]["source"] in Path(sources[0]).read_text()


def test_experiments_are_removed_when_that_is_agreed(graphnas: Commands, finished: str, home: Path) -> None:
    assert "nobody is there to be asked; give --yes" in graphnas("rm", finished, code=2).stderr
    store = Store.open(home / finished, writable=True)
    assert "runs this experiment" in graphnas("rm", finished, "--yes", code=3).stderr
    store.close()
    (home / finished / "mine.txt").touch()
    assert "but for what is not its own: mine.txt" in graphnas("rm", finished, "-y").stdout
    assert "there is no experiment.db" in graphnas("rm", finished, "-y", code=3).stderr


@pytest.mark.parametrize(
    "command", ["ls", "show", "view", "export", "stop", "rm", "run", "resume", "trace", "draw", "doctor"]
)
def test_every_command_has_help_and_json(graphnas: Commands, command: str) -> None:
    text = graphnas(command, "--help").stdout
    assert "--json" in text
    assert "Usage: graphnas" in text
