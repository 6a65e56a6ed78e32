"""Results as a reader sees them: tables, fronts, exports, and the predecessor's names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.results import Results
from graphnas.experiment.store import Reader
from graphnas.experiment.strategies import Random, RegularizedEvolution

from . import samples
from .samples import GridSpace, quick_config

pytestmark = pytest.mark.filterwarnings("ignore:base_model. cannot be stored:UserWarning")


@pytest.fixture
def finished(tmp_path: Path) -> RetiariiExperiment:
    run = RetiariiExperiment(GridSpace(refused=(2,)), FunctionalEvaluator(samples.two_metrics), None, Random(seed=1))
    run.run(quick_config(tmp_path))
    return run


def test_a_table_becomes_a_data_frame(finished: RetiariiExperiment) -> None:
    frame = finished.trials().to_dataframe()
    assert len(frame) == 12
    assert {"number", "status", "metric", "decisions.width", "decisions.depth", "metrics.size"} <= set(frame.columns)
    assert frame[frame.status == "COMPLETED"].metric.max() == 3.0
    assert frame.metric.isna().sum() == 3


def test_without_pandas_the_error_says_what_to_install(
    finished: RetiariiExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"needs pandas; pip install 'graphnas\[table\]'"):
        finished.trials().to_dataframe()


def test_a_front_holds_what_nothing_beats(finished: RetiariiExperiment) -> None:
    # The metric is the depth, the size is width times depth: the narrowest of each depth are the front.
    front = finished.pareto({"default": "maximize", "size": "minimize"})
    assert sorted((row["decisions"]["width"], row["decisions"]["depth"]) for row in front) == [(1, 1), (1, 2), (1, 3)]
    alone = finished.pareto()
    assert {row["metric"] for row in alone} == {3.0}
    assert len(alone) == 3, "all that are equal"
    with pytest.raises(ConfigError, match="no trial has a metric 'speed'; there are 'default', 'size'"):
        finished.pareto({"speed": "minimize"})
    with pytest.raises(ConfigError, match="objectives: expected names of metrics with"):
        finished.pareto({"size": "small"})


def test_forms_that_need_no_code(finished: RetiariiExperiment) -> None:
    (decisions,) = finished.export_top_models()
    (text,) = finished.export_top_models(formatter="json")
    assert json.loads(text) == decisions == {"width": decisions["width"], "depth": 3}
    (module,) = finished.export_top_models(formatter="instance")
    assert (module.in_features, module.out_features) == (decisions["width"], 3)
    with pytest.raises(ConfigError, match="formatter: expected one of 'dict', 'code', 'instance', 'json', got 'yaml'"):
        finished.export_top_models(formatter="yaml")
    with pytest.raises(ConfigError, match="top_k: expected a whole number of at least 1, got 0"):
        finished.export_top_models(0)


def test_reading_needs_no_code_and_says_what_does(finished: RetiariiExperiment) -> None:
    results = Results(Reader.read(finished.directory))
    assert results.trials() == finished.trials()
    assert results.best == finished.best
    assert results.objectives == {"default": "maximize"}
    assert results.export_top_models(2) == finished.export_top_models(2)
    for formatter in ("code", "instance"):
        with pytest.raises(ExperimentError, match=r"trial \d+: .*view\(.*base_model=\.\.\.\), or .*--run-code"):
            results.export_top_models(formatter=formatter)
    results.store.close()


def test_the_names_of_the_predecessor(finished: RetiariiExperiment) -> None:
    assert finished.get_status() == "DONE"
    assert finished.get_job_statistics() == [
        {"trialJobStatus": "SUCCEEDED", "trialJobNumber": 9},
        {"trialJobStatus": "FAILED", "trialJobNumber": 3},
    ]
    jobs = finished.list_trial_jobs()
    assert [job.sequenceId for job in jobs] == list(range(12))
    job = next(job for job in jobs if job.status == "SUCCEEDED")
    assert finished.get_trial_job(job.trialJobId) == job
    assert set(job.hyperParameters[0].parameters) == {"width", "depth"}
    assert job.startTime is not None
    (final,) = job.finalMetricData
    assert isinstance(final.data, dict)
    assert final.data["default"] == job.hyperParameters[0].parameters["depth"]
    metrics = finished.get_job_metrics(job.trialJobId)[job.trialJobId]
    assert [(metric.type, metric.data) for metric in metrics] == [("PERIODICAL", 0.5), ("FINAL", final.data)]
    assert len(finished.export_data()) == 9
    profile = finished.get_experiment_profile()
    assert (profile["id"], profile["nextSequenceId"]) == (finished.id, 12)
    with pytest.raises(ExperimentError, match="there is no trial '99'; they are numbered from 0 to 11"):
        finished.get_trial_job("99")


def test_a_minimising_strategy_is_remembered_without_its_code(tmp_path: Path) -> None:
    strategy = RegularizedEvolution(optimize_mode="minimize", population_size=4, sample_size=2, seed=1)
    RetiariiExperiment(GridSpace(), FunctionalEvaluator(samples.weights), None, strategy).run(quick_config(tmp_path))
    results: Any = Results(Reader.read(tmp_path))
    metrics = [row["metric"] for row in results.trials()]
    assert results.best["metric"] == min(metrics) < max(metrics)
    assert results.top(1, "maximize")[0].metric == max(metrics)
    results.store.close()
