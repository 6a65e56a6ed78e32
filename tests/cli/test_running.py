"""`run` and `resume`, and the files that describe a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import graphnas as library

from .conftest import Commands


def test_a_described_run_is_run_resumed_and_exported(graphnas: Commands, project: Path, home: Path) -> None:
    result = graphnas("run", "config.yaml", "--set", "max_trial_number=2")
    assert "trial budget. Trials: 2 completed" in result.stdout
    (folder,) = home.iterdir()
    assert f"or in a shell: graphnas resume {folder.name} --set max_trial_number=4" in result.stdout
    result = graphnas("resume", folder.name[:-2], "--set", "max_trial_number=3")
    assert "space exhausted" in result.stdout or "trial budget" in result.stdout
    (best,) = graphnas.json("export", folder.name, "--format", "code")
    assert best["metric"] == 8.0
    assert "nn.Linear(2, 16)" in best["source"]
    (folder / "trials" / str(best["number"]) / "model.py").unlink()
    assert "its source was not kept" in graphnas("export", folder.name, "-f", "code", code=1).stderr
    again = graphnas("export", folder.name, "-f", "code", "--run-code").stdout
    assert "nn.Linear(2, 16)" in again


def test_what_reads_runs_no_code_of_the_experiment(graphnas: Commands, project: Path, home: Path) -> None:
    graphnas("run", "config.yaml", "-s", "max_trial_number=2")
    (folder,) = home.iterdir()
    for name in ("net_of_tests", "judge_of_tests"):
        del sys.modules[name]
        Path(f"{name}.py").write_text(f"open({str(project / 'ran')!r}, 'w')\n")

    def changes() -> dict[str, int]:  # but for the files that SQLite needs to read while another process writes
        own = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("experiment.db-")]
        return {path.name: path.stat().st_mtime_ns for path in own}

    before = changes()
    for command in (("ls",), ("view", folder.name), ("show", folder.name), ("show", folder.name, "0")):
        graphnas(*command)
    for form in ("dict", "json", "code"):
        graphnas("export", folder.name, "--format", form)
    assert not (project / "ran").exists()
    assert changes() == before


def test_with_json_only_the_result_is_on_stdout(graphnas: Commands, project: Path) -> None:
    (state,) = graphnas.json("run", "config.yaml", "-s", "max_trial_number=2")
    assert (state["state"], state["counts"], state["name"]) == ("trial budget", {"COMPLETED": 2}, "small")


def test_mutators_are_named_too(graphnas: Commands, project: Path) -> None:
    text = Path("config.yaml").read_text()
    Path("config.yaml").write_text(text + "applied_mutators: [net_of_tests.py:SwapActivation]\n")
    (state,) = graphnas.json("run", "config.yaml")
    assert state["state"] == "space exhausted"
    assert sum(state["counts"].values()) == 6


def test_a_list_is_a_chain(graphnas: Commands, project: Path) -> None:
    text = Path("config.yaml").read_text()
    chain = "[{name: Random, arguments: {seed: 0}}, {name: Deduplication, arguments: {on_equal: skip}}]"
    Path("config.yaml").write_text(text.replace("{name: Random, arguments: {seed: 0}}", chain))
    (state,) = graphnas.json("run", "config.yaml")
    assert state["counts"] == {"COMPLETED": 3}


def test_when_every_trial_fails_the_code_says_so(graphnas: Commands, project: Path) -> None:
    text = Path("config.yaml").read_text()
    Path("config.yaml").write_text(text.replace("width, arguments: {scale: 0.5}", "broken"))
    result = graphnas("run", "config.yaml", code=4)
    assert "every trial failed" in result.stdout
    assert "ZeroDivisionError" in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: Random", "name: Randm", "strategy.name: there is no 'Randm'; did you mean 'Random'?"),
        ("seed: 0", "sed: 0", "strategy.arguments.sed: there is no such argument of Random; did you mean"),
        (":width", ":widt", "evaluator.name: judge_of_tests.py has no 'widt'; did you mean 'width'?"),
        ("scale: 0.5", "scal: 0.5", "evaluator.arguments.scal: there is no such argument of width; did you mean"),
        ("{scale: 0.5}", "3", "evaluator.arguments: expected a mapping of arguments by name, got 3"),
        ("name: judge", "nam: judge", "evaluator.nam: there is no such field; did you mean 'evaluator.name'?"),
        ("inputs: 2", "input: 2", "base_model.arguments.input: there is no such argument of Net"),
        ("executor:", "exector:", "exector: there is no such field; did you mean 'executor'?"),
        ("strategy:", "strategi:", "strategi: there is no such field; did you mean 'strategy'?"),
        ("inprocess", "thread", "executor: expected one of 'process', 'inprocess', got 'thread'"),
        (
            "name: Random, arguments: {seed: 0}",
            "name: Chain",
            "strategy.arguments.strategy: is missing; Chain needs it",
        ),
        ("[1, 2]", "[1, x]", "example_inputs: expected a shape"),
        ("[1, 2]", "[]", "example_inputs: expected a shape"),
        ("{name: Random, arguments: {seed: 0}}", "net_of_tests.py:Net", "strategy: expected a Strategy, or what"),
        ("{name: Random, arguments: {seed: 0}}", "[]", "strategy: expected a name, as net.py:Net"),
        ("base_model:", "base_modle:", "base_modle: there is no such field; did you mean 'base_model'?"),
    ],
)
def test_errors_in_a_description_name_file_and_field(
    graphnas: Commands, project: Path, home: Path, old: str, new: str, message: str
) -> None:
    text = Path("config.yaml").read_text()
    assert old in text
    Path("config.yaml").write_text(text.replace(old, new, 1))
    assert f"config.yaml: {message}" in graphnas("run", "config.yaml", code=2).stderr
    assert not home.exists(), "nothing was begun"


def test_what_is_missing_or_given_wrongly(graphnas: Commands, project: Path) -> None:
    assert "none.yaml: there is no such file" in graphnas("run", "none.yaml", code=2).stderr
    assert "strategy: is missing" in _run_of(
        graphnas, "base_model: net_of_tests.py:Net\nevaluator: judge_of_tests.py:width"
    )
    assert "--set: expected FIELD=VALUE" in graphnas("run", "config.yaml", "--set", "seed", code=2).stderr
    assert "seed: expected a whole number" in graphnas("run", "config.yaml", "--set", "seed=x", code=2).stderr
    assert "--wat: no such argument" in graphnas("run", "config.yaml", "--wat", code=2).stderr
    assert "a script configures itself" in graphnas("run", "judge_of_tests.py", "--debug", code=2).stderr


def _run_of(graphnas: Commands, text: str) -> str:
    Path("other.yaml").write_text(text)
    return graphnas("run", "other.yaml", code=2).stderr


SCRIPT = """
import sys
import graphnas
from judge_of_tests import width
from net_of_tests import Net

if __name__ == "__main__":
    experiment = graphnas.RetiariiExperiment(
        Net(), graphnas.FunctionalEvaluator(width), strategy=graphnas.strategy.Random(seed=1)
    )
    experiment.run(graphnas.RetiariiExeConfig(executor="inprocess", max_trial_number=int(sys.argv[1])))
"""


def test_a_script_gets_its_arguments_and_its_experiments_are_reported(graphnas: Commands, project: Path) -> None:
    Path("search_of_tests.py").write_text(SCRIPT)
    (state,) = graphnas.json("run", "search_of_tests.py", "2")
    assert state["counts"] == {"COMPLETED": 2}


def test_the_whole_command_in_worker_processes(project: Path) -> None:
    text = Path("config.yaml").read_text().replace("executor: inprocess", "trial_concurrency: 2")
    Path("config.yaml").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(Path(library.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "graphnas", "run", "config.yaml"],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "space exhausted. Trials: 3 completed" in done.stdout
    assert done.stderr == ""
