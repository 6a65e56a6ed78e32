from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from graphnas.cli.app import app
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.strategies import Random

from ..experiment import samples as spaces
from .samples import write_project


class Commands:
    """Runs commands as a shell without a terminal would."""

    def __call__(self, *arguments: str, code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, list(arguments), prog_name="graphnas", input=stdin)
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code).stdout)


@pytest.fixture
def graphnas() -> Commands:
    return Commands()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of experiments."""
    monkeypatch.setenv("GRAPHNAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Path]:
    """The current folder, with a model, an evaluator and a configuration in it; modules are forgotten at the end."""
    folder = tmp_path / "project"
    folder.mkdir()
    write_project(folder)
    monkeypatch.chdir(folder)
    modules, path = dict(sys.modules), list(sys.path)
    yield folder
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        if name.endswith("_of_tests"):
            del sys.modules[name]


@pytest.fixture
def finished(home: Path) -> str:
    """The id of an experiment of twelve trials, three of them invalid."""
    space = spaces.GridSpace(refused=(2,))
    run = RetiariiExperiment(space, FunctionalEvaluator(spaces.two_metrics), None, Random(seed=1))
    with pytest.warns(UserWarning, match="base_model: cannot be stored"):
        run.run(RetiariiExeConfig(executor="inprocess", experiment_name="grid"))
    return run.id
