from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphnas.errors import EvaluationError, ExperimentError
from graphnas.experiment.trial import (
    TrialContext,
    TrialStatus,
    active_trial,
    check_metric,
    current_trial,
    derive_seed,
    report_final_result,
    report_intermediate_result,
    seed_generators,
    should_stop,
)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int64(1), torch.tensor(1.0), torch.ones(1, 1)])
def test_numbers_of_every_kind_are_metrics(value: Any) -> None:
    checked = check_metric(value, "here")
    assert type(checked) is float
    assert checked == 1.0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.9", "got '0.9' of type str"),
        (None, r"got nothing \(None\)"),
        (True, "got True of type bool"),
        (float("nan"), "expected a finite number, got nan"),
        (float("-inf"), "expected a finite number, got -inf"),
        ({"acc": 1.0}, "needs the key 'default', which is optimised; got the keys 'acc'"),
        ({"default": 1.0, "loss": "x"}, "here, metric 'loss': expected a number"),
        (torch.ones(2), "expected one number, got Tensor"),
    ],
)
def test_what_is_no_metric_is_refused(value: Any, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        check_metric(value, "here")


def test_outside_of_a_trial_reports_are_only_checked() -> None:
    report_intermediate_result(1)
    report_final_result({"default": 1})
    assert should_stop() is False
    with pytest.raises(EvaluationError, match="report_final_result: expected a number"):
        report_final_result("x")
    with pytest.raises(ExperimentError, match="outside of a trial"):
        current_trial()


def test_a_process_has_one_trial_at_a_time(tmp_path: Path) -> None:
    context = TrialContext(4, 0, "cpu", {}, tmp_path)
    with active_trial(context):
        assert current_trial() is context
        with pytest.raises(ExperimentError, match="trial 4 is running in this process"):
            active_trial(context).__enter__()
    with pytest.raises(ExperimentError, match="outside of a trial"):
        current_trial()


def test_seeds_are_stable_and_differ() -> None:
    assert derive_seed(0, "trial", 0) == 3691293963
    assert len({derive_seed(seed, "trial", number) for seed in range(10) for number in range(10)}) == 100


def test_only_unfinished_trials_run_again() -> None:
    again = {status.value for status in TrialStatus if not status.is_final}
    assert again == {"WAITING", "RUNNING", "CANCELLED"}


def test_seeding_leaves_no_call_behind_for_devices_that_are_not_there() -> None:
    before = len(torch.cuda._queued_calls)
    seed_generators(3)
    first = torch.rand(2)
    seed_generators(3)
    assert torch.equal(torch.rand(2), first)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), first)
    assert len(torch.cuda._queued_calls) - before <= 3, "the call in this test is the only one"


def test_a_trial_saves_and_continues_its_state(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    first = TrialContext(0, 0, "cpu", {}, tmp_path)
    assert first.load_checkpoint() is None
    path = first.save_checkpoint({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, epoch=3)
    second = TrialContext(1, 0, "cpu", {}, tmp_path, budget=9.0, parent=0, checkpoint=path)
    loaded = second.load_checkpoint()
    assert loaded is not None
    state, values = loaded
    assert values == {"epoch": 3}
    fresh = torch.nn.Linear(2, 2)
    fresh.load_state_dict(state["model"])
    assert torch.equal(fresh.weight, model.weight)
    again = torch.optim.Adam(fresh.parameters())
    again.load_state_dict(state["optimizer"])
    assert str(again.state_dict()) == str(optimizer.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
