"""What the loop promises beyond whole runs: equal trials, lost ones, checkpoints, and the order of commit and tell."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from graphnas.errors import ExperimentError, StoreError
from graphnas.experiment.checkpoint import CHECKPOINT_NAME
from graphnas.experiment.engines import Candidate, PyEngine
from graphnas.experiment.executors import InProcessExecutor, Task
from graphnas.experiment.search import Reason
from graphnas.experiment.store import Store
from graphnas.experiment.strategies import ASHA, WAIT, Chain, Observation
from graphnas.experiment.trial import (
    Metric,
    Outcome,
    Trial,
    TrialStatus,
    report_intermediate_result,
    should_stop,
)

from .simulated import ProductSpace, Script, Scripted, Watching, description, point, search


def product(task: Task) -> Metric:
    return float(task.decisions["width"] * task.decisions["depth"])


def kept(folder: Path) -> list[Trial]:
    store = Store.read(folder)
    try:
        return store.trials()
    finally:
        store.close()


def reused(folder: Path) -> list[tuple[str, float | None, int | None]]:
    return [(trial.status.value, trial.metric, trial.reused_from) for trial in kept(folder)]


def test_an_equal_candidate_takes_over_the_result_and_costs_nothing(tmp_path: Path) -> None:
    strategy = Script([point(2, 6), point(3, 4, on_equal="replay"), point(3, 4), point(5, 1, on_equal="replay")])
    executor = Scripted(product)
    # The first trial was asked for without a look at its architecture, so nothing is known to be equal to it.
    search(tmp_path / "unknown", strategy, executor)
    assert [trial.reused_from for trial in kept(tmp_path / "unknown")] == [None] * 4
    strategy = Script([point(2, 6, on_equal="replay"), point(3, 4, on_equal="replay"), point(3, 4)])
    executor = Scripted(product)
    watcher = Watching()
    search(tmp_path / "known", strategy, executor, watcher=watcher)
    assert reused(tmp_path / "known") == [("COMPLETED", 12.0, None), ("COMPLETED", 12.0, 0), ("COMPLETED", 12.0, None)]
    assert [task.number for task in executor.tasks] == [0, 2]
    assert [(seen.number, seen.metric, seen.intermediate) for seen in strategy.told] == [
        (0, 12.0, (0.5,)),
        (1, 12.0, (0.5,)),
        (2, 12.0, (0.5,)),
    ]
    assert watcher.shown[3:5] == ["start 1", "end 1 COMPLETED"]


def test_who_is_equal_to_a_running_trial_waits_for_it(tmp_path: Path) -> None:
    asked = [point(2, 6, on_equal="replay"), point(3, 4, on_equal="replay"), point(1, 1), point(1, 2), point(1, 3)]
    executor = Scripted(product, concurrency=3)
    search(tmp_path, Script(asked), executor)
    assert [task.number for task in executor.tasks] == [0, 2, 3, 4]
    assert reused(tmp_path)[:2] == [("COMPLETED", 12.0, None), ("COMPLETED", 12.0, 0)]


def test_who_waited_for_a_trial_that_failed_is_run(tmp_path: Path) -> None:
    def first_fails(task: Task) -> Metric | Outcome:
        return Outcome(TrialStatus.CRASHED, error="gone") if task.number == 0 else product(task)

    asked = [point(2, 6, on_equal="replay"), point(3, 4, on_equal="replay"), point(4, 3, on_equal="replay")]
    executor = Scripted(first_fails, concurrency=3)
    search(tmp_path, Script(asked), executor)
    assert [task.number for task in executor.tasks] == [0, 1]
    assert reused(tmp_path) == [("CRASHED", None, None), ("COMPLETED", 12.0, None), ("COMPLETED", 12.0, 1)]


def test_another_budget_or_another_evaluation_is_not_equal(tmp_path: Path) -> None:
    class WithEvaluator(ProductSpace):
        """The decisions of an evaluator are none of the model's."""

    asked = [point(2, 6, on_equal="replay", budget=budget) for budget in (1.0, 3.0, 1.0)]
    for rate in (0.1, 0.2, 0.1):
        proposal = point(2, 6, on_equal="replay")
        proposal.decisions["@evaluator/lr"] = rate
        asked.append(proposal)
    search(tmp_path, Script(asked), Scripted(product), space=WithEvaluator())
    assert [trial.reused_from for trial in kept(tmp_path)] == [None, None, 0, None, None, 3]
    assert [trial.budget for trial in kept(tmp_path)] == [1.0, 3.0, 1.0, None, None, None]


def test_skipped_candidates_are_taken_back_and_another_one_is_asked_for(tmp_path: Path) -> None:
    strategy = Script([point(2, 6, on_equal="skip"), point(3, 4, on_equal="skip"), point(3, 5, on_equal="skip")])
    ending = search(tmp_path, strategy, Scripted(product))
    assert ending.reason is Reason.STRATEGY_DONE
    assert [trial.decisions["depth"] for trial in kept(tmp_path)] == [6, 5]
    assert [proposal.decisions["depth"] for proposal in strategy.rejected] == [4]


def test_a_strategy_that_only_asks_for_equals_is_done(tmp_path: Path) -> None:
    class Stubborn(Script):
        def ask(self) -> Any:
            self._cursor += 1
            return point(2, 6, on_equal="skip")

    strategy = Stubborn([])
    ending = search(tmp_path, strategy, Scripted(product, concurrency=2))
    assert ending.reason is Reason.STRATEGY_DONE
    assert len(kept(tmp_path)) == 1
    assert len(strategy.rejected) == 1000


def test_equals_of_a_running_trial_do_not_pile_up(tmp_path: Path) -> None:
    asked = [point(2, 6, on_equal="replay") for _ in range(50)]
    executor = Scripted(product, concurrency=4)
    seen: list[int] = []
    strategy = Script(asked)
    strategy.on_tell = lambda _: seen.append(strategy._cursor)
    search(tmp_path, strategy, executor)
    assert len(executor.tasks) == 1
    assert seen[0] <= 8, "they take no slot, but there are not many more of them than slots"
    assert len(kept(tmp_path)) == 50


def test_results_of_earlier_experiments_are_taken_over_where_the_evaluator_is_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [point(2, 6, on_equal="replay")]
    search(tmp_path / "earlier", Script(asked), Scripted(lambda task: {"default": 7.0, "loss": 1.0}))
    earlier = Store.read(tmp_path / "earlier")
    executor = Scripted(product)
    search(tmp_path / "same", Script([point(4, 3, on_equal="replay")]), executor, earlier=[earlier])
    (trial,) = kept(tmp_path / "same")
    assert (trial.metrics, trial.reused_from, trial.reused_experiment) == ({"default": 7.0, "loss": 1.0}, 0, "here")
    assert not executor.tasks
    other = Store.create(tmp_path / "other", description())
    with other.transaction() as execute:
        execute("UPDATE experiment SET evaluator = NULL")
    other.close()
    with caplog.at_level(logging.WARNING, "graphnas"):
        search(tmp_path / "other", Script(asked), executor, earlier=[earlier])
    assert "experiment here: its results are not reused" in caplog.text
    assert kept(tmp_path / "other")[0].metric == 12.0
    earlier.close()


def test_without_graphs_only_the_same_decisions_are_equal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Opaque(ProductSpace):
        def freeze(self, decisions: Any) -> Any:
            raise NotImplementedError("no graph here")

    asked = [point(2, 6, on_equal="replay"), point(3, 4, on_equal="replay"), point(2, 6, on_equal="replay")]
    with caplog.at_level(logging.WARNING, "graphnas"):
        search(tmp_path, Script(asked), Scripted(product), space=Opaque())
    assert [trial.reused_from for trial in kept(tmp_path)] == [None, None, 0]
    assert caplog.text.count("architectures cannot be compared") == 1


def test_nothing_is_frozen_for_a_strategy_that_does_not_ask_for_it(tmp_path: Path) -> None:
    space = ProductSpace()
    search(tmp_path, Script([point(2, 6), point(2, 6)]), Scripted(product), space=space)
    assert space.frozen == 0


def lost(task: Task) -> Metric | Outcome:
    return Outcome(TrialStatus.LOST, error="the node died") if task.decisions["width"] == 2 else product(task)


@pytest.mark.parametrize("retries", [0, 2])
def test_lost_trials_run_again_as_often_as_configured_and_nothing_else_is_touched(tmp_path: Path, retries: int) -> None:
    strategy = Script([point(1, 1), point(2, 1), point(3, 1)])
    executor, watcher = Scripted(lost, concurrency=2), Watching()
    search(tmp_path, strategy, executor, watcher=watcher, max_retries_lost=retries)
    assert sorted(task.number for task in executor.tasks) == [0, *[1] * (1 + retries), 2]
    assert len({task.seed for task in executor.tasks}) == 3
    first, second, third = kept(tmp_path)
    assert (second.status, second.attempts, second.error) == (TrialStatus.LOST, retries, "the node died")
    assert first.status is third.status is TrialStatus.COMPLETED
    assert watcher.shown.count("retry 1") == retries
    assert [seen.status for seen in strategy.told if seen.number == 1] == [TrialStatus.LOST]


def test_a_lost_trial_that_completes_when_it_is_run_again_was_never_a_failure(tmp_path: Path) -> None:
    def once(task: Task) -> Metric | Outcome:
        again = sum(other.number == task.number for other in executor.tasks) > 1
        return product(task) if again else Outcome(TrialStatus.LOST, error="the node died")

    executor = Scripted(once, concurrency=4)
    strategy = Script([point(width, 1) for width in range(1, 9)])
    ending = search(tmp_path, strategy, executor)
    assert ending.failure is None
    assert [trial.status.value for trial in kept(tmp_path)] == ["COMPLETED"] * 8
    assert [trial.attempts for trial in kept(tmp_path)] == [1] * 8
    assert len(strategy.told) == 8


def test_a_mutator_that_refuses_or_breaks_costs_its_own_trial_only(tmp_path: Path) -> None:
    strategy = Script([point(11, 1), point(12, 1), point(1, 1)])
    executor = Scripted(product)
    search(tmp_path, strategy, executor)
    assert [trial.status.value for trial in kept(tmp_path)] == ["INVALID", "FAILED", "COMPLETED"]
    assert "KeyError: 'layer12'" in kept(tmp_path)[1].error
    assert "in validate" in kept(tmp_path)[1].traceback
    assert len(executor.tasks) == 1


def test_a_folder_that_cannot_be_written_ends_the_run_with_what_was_done_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(space: Any, decisions: Any, directory: Path) -> Candidate:
        if directory.name == "2":
            raise OSError(28, "No space left on device")
        return Candidate(decisions)

    monkeypatch.setattr(PyEngine, "prepare", prepare)
    strategy = Script([point(1, 1), point(2, 1), point(3, 1)])
    with pytest.raises(StoreError, match=r"trials/2: the folder of the trial cannot be written: .*No space.*is intact"):
        search(tmp_path, strategy, Scripted(product))
    assert [trial.status.value for trial in kept(tmp_path)] == ["COMPLETED"] * 2


def test_a_strategy_hears_of_nothing_that_is_not_committed(tmp_path: Path) -> None:
    strategy = Script([point(width, 1) for width in range(1, 9)])

    def look(observation: Observation) -> None:
        trial = kept(tmp_path)[observation.number]
        assert trial.status is observation.status
        assert trial.metric == observation.metric

    strategy.on_tell = look
    search(tmp_path, strategy, Scripted(product, concurrency=3))
    assert len(strategy.told) == 8


def test_waiting_is_for_running_trials_only(tmp_path: Path) -> None:
    search(tmp_path / "fine", Script([point(1, 1), WAIT, point(2, 1)]), Scripted(product, concurrency=2))
    assert len(kept(tmp_path / "fine")) == 2
    with pytest.raises(ExperimentError, match=r"Script: ask\(\) returned WAIT although no trial is running"):
        search(tmp_path / "not", Script([point(1, 1), WAIT]), Scripted(product))


def test_what_a_strategy_proposed_beyond_decisions_is_there_again_after_a_resume(tmp_path: Path) -> None:
    asked = [point(1, 1, budget=1.0), point(1, 1, budget=3.0, resume_from=0), point(1, 2, budget=1.0)]
    first = Script(asked)
    search(tmp_path, first, Scripted(product), max_trial_number=2)
    second = Script(asked)
    search(tmp_path, second, Scripted(product), max_trial_number=3)
    assert second.recalled == asked[:2]
    assert second.told[:2] == first.told
    assert [(seen.budget, seen.resume_from) for seen in second.told] == [(1.0, None), (3.0, 0), (1.0, None)]


def saving(task: Task) -> Metric:
    task.directory.mkdir(parents=True, exist_ok=True)
    (task.directory / CHECKPOINT_NAME).write_bytes(b"state")
    return product(task)


def with_checkpoints(folder: Path) -> list[int]:
    return sorted(int(path.parent.name) for path in folder.glob(f"trials/*/{CHECKPOINT_NAME}"))


@pytest.mark.parametrize(
    ("policy", "left"), [("all", [0, 1, 2, 3, 4]), ("last", [4]), ("best:2", [1, 3]), ("best:9", [0, 1, 2, 3, 4])]
)
def test_checkpoints_are_kept_by_the_stated_policy(tmp_path: Path, policy: str, left: list[int]) -> None:
    asked = [point(width, 1) for width in (3, 9, 1, 7, 5)]
    search(tmp_path, Script(asked), Scripted(saving), keep_checkpoints=policy, max_trial_number=3)
    search(tmp_path, Script(asked), Scripted(saving), keep_checkpoints=policy)
    assert with_checkpoints(tmp_path) == left


def test_a_checkpoint_that_may_be_continued_is_kept_and_reaches_the_trial_that_does(tmp_path: Path) -> None:
    strategy = Script([point(1, 1), point(2, 1), point(3, 1, resume_from=0, budget=9.0), point(4, 1, resume_from=1)])
    strategy.resumable = {0}
    executor = Scripted(saving)
    search(tmp_path, strategy, executor, keep_checkpoints="last")
    assert [task.parent for task in executor.tasks] == [None, None, 0, 1]
    assert executor.tasks[2].checkpoint == tmp_path / "trials" / "0" / CHECKPOINT_NAME
    assert executor.tasks[2].budget == 9.0
    assert executor.tasks[3].checkpoint is None, "trial 1 was neither the last one nor said to be continued"
    assert with_checkpoints(tmp_path) == [0, 3]


def test_what_successive_halving_may_promote_is_kept(tmp_path: Path) -> None:
    seen: list[bool] = []

    def look(task: Task) -> Metric:
        if task.parent is not None:
            seen.append(task.checkpoint is not None)
        return saving(task)

    strategy = Chain(ASHA(max_budget=9, reduction_factor=3, seed=1))
    search(tmp_path, strategy, Scripted(look), keep_checkpoints="best:1", max_trial_number=40)
    assert seen == [True] * len(seen)
    assert len(seen) >= 8
    assert len(with_checkpoints(tmp_path)) < 40


def test_the_checkpoint_under_a_running_trial_is_kept(tmp_path: Path) -> None:
    def look(task: Task) -> Metric:
        if task.number == 2:
            assert task.checkpoint is not None
            assert task.checkpoint.exists(), "trial 1, which ended later, is the last one"
        return saving(task)

    strategy = Script([point(1, 1), point(2, 1), point(3, 1, resume_from=0)])
    strategy.resumable = {0}
    executor = Scripted(look, concurrency=2)
    strategy.on_tell = lambda seen: strategy.resumable.clear() if seen.number == 1 else None
    search(tmp_path, strategy, executor, keep_checkpoints="last")
    assert with_checkpoints(tmp_path) == [2]


class Impatient(Script):
    """Stops each trial at its third report."""

    def report(self, number: int, step: int, metric: Metric) -> bool:
        return step >= 2


class Steps:
    """A workload that reports until it is asked to stop."""

    def build(self, task: Task) -> Any:
        raise NotImplementedError

    def evaluate(self, build_model: Any) -> float:
        for step in range(50):
            if should_stop():
                return float(step)
            report_intermediate_result(float(step))
        return 50.0


def test_a_strategy_stops_trials_that_run_in_this_process(tmp_path: Path) -> None:
    strategy = Impatient([point(1, 1), point(2, 1)])
    with InProcessExecutor() as executor:
        executor.open(Steps())
        search(tmp_path, strategy, executor)
    assert [(seen.status, seen.metric) for seen in strategy.told] == [(TrialStatus.PRUNED, 3.0)] * 2
    assert [seen.intermediate for seen in strategy.told] == [(0.0, 1.0, 2.0)] * 2
    reader = Store.read(tmp_path)
    assert reader.intermediate(1) == [0.0, 1.0, 2.0]
    reader.close()


def test_what_breaks_at_a_report_is_not_the_trials_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "add_intermediate", full)
    with InProcessExecutor() as executor:
        executor.open(Steps())
        with pytest.raises(StoreError, match="the disk is full"):
            search(tmp_path, Script([point(1, 1)]), executor)
    assert [trial.status.value for trial in kept(tmp_path)] == ["RUNNING"]
