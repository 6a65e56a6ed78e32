"""An experiment for the commands to read, and a small project for them to run."""

from __future__ import annotations

import textwrap
from pathlib import Path

NET = """
import torch
from torch import nn
import graphnas

@graphnas.model_wrapper
class Net(nn.Module):
    def __init__(self, inputs=2):
        super().__init__()
        width = graphnas.ValueChoice([4, 8, 16], label="width")
        self.hidden = nn.Linear(inputs, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        if x.shape[1] > 4:
            x = x * 2
        return self.out(torch.relu(self.hidden(x)))


class SwapActivation(graphnas.Mutator):
    def mutate(self, model):
        if self.choice(["relu", "tanh"]) == "tanh":
            for site in model.find(type="relu"):
                site.replace("tanh")


number = 3
"""

JUDGE = """
def width(build_model, scale=1.0):
    print("judging")
    return build_model().hidden.out_features * scale


def broken(build_model):
    return 1 / 0
"""

CONFIG = """
base_model: {name: net_of_tests.py:Net, arguments: {inputs: 2}}
example_inputs: [1, 2]
evaluator: {name: judge_of_tests.py:width, arguments: {scale: 0.5}}
strategy: {name: Random, arguments: {seed: 0}}
experiment_name: small
executor: inprocess
"""


def write_project(folder: Path) -> None:
    """Write the files of a project: a model, an evaluator and a configuration."""
    for name, text in (("net_of_tests.py", NET), ("judge_of_tests.py", JUDGE), ("config.yaml", CONFIG)):
        (folder / name).write_text(textwrap.dedent(text))
