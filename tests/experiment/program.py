"""A script that starts or resumes an experiment, for the tests that end it from outside.

Run as `program.py run|resume FOLDER SECONDS`; model and evaluator are defined here, in `__main__`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.strategies import Random
from graphnas.mutators.domain import Categorical, Decisions, Domain, check_decisions


class Wide(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 1)


class WidthSpace:
    domains: Mapping[str, Domain]

    def __init__(self) -> None:
        self.domains = {"width": Categorical("width", tuple(range(1, 13)))}

    def validate(self, decisions: Mapping[str, Any]) -> Decisions:
        return check_decisions(self.domains, decisions)

    def freeze(self, decisions: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def instantiate(self, decisions: Mapping[str, Any]) -> nn.Module:
        return Wide(decisions["width"])

    def to_json(self) -> dict[str, Any] | None:
        return None


def judge(build_model: Callable[[], Wide], seconds: float) -> float:
    time.sleep(seconds)
    return float(build_model().layer.in_features)


if __name__ == "__main__":
    mode, folder, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    if mode == "resume":
        # Quick now, so that a test need not wait; the evaluator of a resumed run may be another one.
        quick = FunctionalEvaluator(judge, seconds=0.0)
        RetiariiExperiment.resume(
            folder, base_model=WidthSpace(), evaluator=quick, executor="inprocess", trial_concurrency=1
        )
    else:
        experiment = RetiariiExperiment(
            WidthSpace(), FunctionalEvaluator(judge, seconds=seconds), strategy=Random(seed=1)
        )
        experiment.run(RetiariiExeConfig(trial_concurrency=2, experiment_directory=folder))
