"""Where the code of a trial may be defined: in a script, under `python -m`, in a notebook; under every executor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import graphnas

HELPER = """
def twice(number):
    return 2 * number
"""

PROGRAM = """
import json, sys
import torch
from torch import nn
import graphnas
import helper_of_the_script

@graphnas.model_wrapper
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(graphnas.ValueChoice([2, 4, 8], label="width"), 1)

    def forward(self, x):
        return self.layer(x)

def judge(build_model, offset):
    return helper_of_the_script.twice(build_model().layer.in_features) + offset

if __name__ == "__main__":
    folder, *fields = sys.argv[1:]
    experiment = graphnas.RetiariiExperiment(
        graphnas.ModelSpace(Net()),
        graphnas.FunctionalEvaluator(judge, offset=1),
        strategy=graphnas.strategy.Random(seed=0),
    )
    fields = dict(field.split("=") for field in fields)
    experiment.run(graphnas.RetiariiExeConfig(experiment_directory=folder, max_trial_number=2, **fields))
    rows = experiment.trials()
    print(json.dumps([[row["status"], row["metric"] - 2 * row["decisions"]["width"]] for row in rows]))
"""

EXECUTORS = {
    "inprocess": ["executor=inprocess"],
    "process": ["executor=process"],
    "ray": ["training_service_platform=ray"],
}


def run_in(folder: Path, how: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "helper_of_the_script.py").write_text(HELPER)
    (folder / "program_of_the_test.py").write_text(PROGRAM)
    command = {
        "script": ["program_of_the_test.py"],
        "module": ["-m", "program_of_the_test"],
        "notebook": ["-"],  # a __main__ without a file, as a notebook's is
    }[how]
    return subprocess.run(
        [sys.executable, *command, *arguments],
        input=PROGRAM if how == "notebook" else None,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(Path(graphnas.__file__).parents[1])},
    )


CASES = [("inprocess", "notebook"), ("ray", "script"), ("ray", "notebook")] + [
    ("process", how) for how in ("script", "module", "notebook")
]


@pytest.mark.parametrize(("executor", "how"), CASES)
def test_an_evaluator_of_the_program_itself_reaches_the_trials(tmp_path: Path, executor: str, how: str) -> None:
    if executor == "ray" and find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    ran = run_in(tmp_path, how, str(tmp_path / "experiment"), *EXECUTORS[executor])
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == [["COMPLETED", 1.0]] * 2
