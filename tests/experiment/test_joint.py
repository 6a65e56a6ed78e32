"""Choices among the arguments of an evaluator, searched together with those of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from graphnas import (
    FunctionalEvaluator,
    ModelSpace,
    RetiariiExeConfig,
    RetiariiExperiment,
    ValueChoice,
    fixed_arch,
    loguniform,
    model_wrapper,
)
from graphnas.errors import ConfigError, DecisionError
from graphnas.experiment.joint import JointSpace, with_choices_of
from graphnas.ir.context import NoContextError
from graphnas.strategy import Random


@model_wrapper
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, ValueChoice([8, 16], label="width"))


def judge(build_model: Any, lr: float, options: Any, fixed: int = 3) -> float:
    score: float = build_model().layer.out_features + lr + sum(options["steps"]) + fixed
    return score


def evaluator() -> FunctionalEvaluator:
    momentum = ValueChoice([1, 2], label="momentum")
    return FunctionalEvaluator(
        judge, lr=ValueChoice([0.25, 0.5]), options={"steps": [momentum * 10, ValueChoice([5], label="five")]}
    )


@pytest.mark.parametrize("engine", ["inprocess", "process"])
def test_an_experiment_searches_both(tmp_path: Path, engine: str) -> None:
    run = RetiariiExperiment(Net(), evaluator(), None, Random(seed=0))
    config = RetiariiExeConfig(max_trial_number=8, executor=engine, experiment_directory=str(tmp_path))
    with pytest.warns(UserWarning, match="evaluator: cannot be stored by name"):
        run.run(config)
    assert len(run.trials()) == 8
    for trial in run.trials():
        decisions = trial["decisions"]
        assert list(decisions) == ["width", "@evaluator/lr", "@evaluator/momentum", "@evaluator/five"]
        expected = decisions["width"] + decisions["@evaluator/lr"] + 10 * decisions["@evaluator/momentum"] + 5 + 3
        assert trial["metric"] == expected
    best: Any = run.export_top_models()[0]
    assert best["@evaluator/lr"] == 0.5
    with fixed_arch(best):
        Net()


def test_decisions_of_both_are_checked() -> None:
    judged = FunctionalEvaluator(
        judge, lr=ValueChoice(loguniform(1e-3, 1.0), label="lr", when={"options": "b"}), options=ValueChoice(["a", "b"])
    )
    space = with_choices_of(ModelSpace(Net()), judged.choices())
    point = {"@evaluator/options": "b", "@evaluator/lr": 0.5, "width": 16}
    assert list(space.domains) == ["width", "@evaluator/options", "@evaluator/lr"]
    assert space.validate(point) == point
    assert space.instantiate(point).layer.out_features == 16
    with pytest.raises(DecisionError, match="'@evaluator/lr' is decided, but comes up only when options is 'b'"):
        space.validate({**point, "@evaluator/options": "a"})
    with pytest.raises(DecisionError, match="label '@evaluator/options' is missing"):
        space.validate({"width": 8})
    with pytest.raises(DecisionError, match="unknown label '@evaluator/loss'"):
        space.validate({**point, "@evaluator/loss": 1})
    model = ModelSpace(Net())
    assert with_choices_of(model, FunctionalEvaluator(judge).choices()) is model
    with pytest.raises(ConfigError, match="choices of the mutator have labels of an evaluator, '@evaluator/lr'"):
        JointSpace(_Mutated(), judged.choices())


class _Mutated:
    """A space whose mutator goes by the name of evaluators."""

    domains: Any = ("@evaluator/lr",)
    validate: Any = None
    freeze: Any = None
    instantiate: Any = None
    to_json: Any = None


def test_outside_of_a_trial_arguments_have_their_defaults() -> None:
    assert evaluator().evaluate(Net) == 8 + 0.25 + 10 + 5 + 3
    with pytest.raises(DecisionError, match="'lr' stands for two different choices"):
        FunctionalEvaluator(judge, lr=ValueChoice([1.0], label="lr"), options=ValueChoice([2.0], label="lr"))


def test_a_choice_without_a_label_is_no_choice_of_a_model() -> None:
    unnamed = ValueChoice([1, 2])
    assert repr(unnamed) == "ValueChoice([1, 2])"
    with pytest.raises(NoContextError, match="a label can only be numbered while a model is constructed"):
        unnamed()

    @model_wrapper
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, unnamed)

    with pytest.raises(DecisionError, match=r"ValueChoice\(\[1, 2\]\) was made without a label, outside of the model"):
        Late()
