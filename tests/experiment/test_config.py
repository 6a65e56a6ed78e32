from __future__ import annotations

from pathlib import Path

import pytest

from graphnas.errors import ConfigError
from graphnas.experiment import config as configuration
from graphnas.experiment.config import RetiariiExeConfig, parse_duration, register_engine


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trial_concurency": 2}, "trial_concurency: there is no such field; did you mean 'trial_concurrency'?"),
        ({"zzz": 2}, "zzz: there is no such field; the fields are 'training_service_platform'"),
        ({"trial_concurrency": 0}, "trial_concurrency: expected a whole number of at least 1, got 0"),
        ({"trial_concurrency": True}, "trial_concurrency: expected a whole number of at least 1, got True"),
        ({"max_experiment_duration": "soon"}, "max_experiment_duration: expected a positive number of seconds"),
        ({"max_trial_duration": -1}, "max_trial_duration: expected a positive number of seconds"),
        ({"executor": "thread"}, "executor: expected one of 'process', 'inprocess', got 'thread'"),
        ({"debug": 1}, "debug: expected True or False, got 1"),
        ({"seed": "0"}, "seed: expected a whole number, got '0'"),
        ({"experiment_name": ""}, "experiment_name: expected a text that is not empty, got ''"),
        ({"trial_code_directory": "."}, "trial_code_directory: must not be set: the code of a trial is"),
        ({"search_space": {}}, "search_space: must not be set: the space comes from"),
        ({"trial_command": "x"}, "trial_command: must not be set: trials run inside"),
        ({"execution_engine": "cgo"}, "execution_engine: no execution engine 'cgo' is registered.*'py', 'graph'"),
        ({"training_service_platform": "remote"}, "training_service_platform: expected one of 'local' or None"),
    ],
)
def test_wrong_fields_are_refused_by_name(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")) as caught:
        RetiariiExeConfig(**fields)  # type: ignore[arg-type]  # the wrong type is the point
    assert caught.value.field == next(iter(fields))


def test_fields_are_checked_when_they_are_set_later() -> None:
    config = RetiariiExeConfig("local")
    config.max_trial_number = 20
    with pytest.raises(ConfigError, match="max_trial_number: expected a whole number"):
        config.max_trial_number = 2.5  # type: ignore[assignment]  # the wrong type is the point
    assert config.max_trial_number == 20


def test_base_is_a_name_for_graph_and_none_for_local() -> None:
    config = RetiariiExeConfig(None, "base")
    assert (config.training_service_platform, config.execution_engine) == ("local", "graph")


def test_fields_round_trip_through_json() -> None:
    config = RetiariiExeConfig(trial_concurrency=3, max_experiment_duration="10m", seed=4)
    assert RetiariiExeConfig.from_json(config.to_json()) == config
    assert config.max_experiment_s == 600.0
    assert repr(config) == "RetiariiExeConfig(trial_concurrency=3, max_experiment_duration='10m', seed=4)"


@pytest.mark.parametrize(
    ("value", "seconds"), [(90, 90.0), ("90", 90.0), ("45s", 45.0), ("10m", 600.0), ("1.5h", 5400.0), ("2d", 172800.0)]
)
def test_durations(value: object, seconds: float) -> None:
    assert parse_duration("field", value) == seconds


def test_in_process_runs_one_trial_at_a_time() -> None:
    with pytest.raises(ConfigError, match="'inprocess' runs one trial at a time, got 2"):
        RetiariiExeConfig(executor="inprocess", trial_concurrency=2).validate()


def test_the_folder_is_the_one_given_or_one_of_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAPHNAS_HOME", str(tmp_path / "home"))
    assert RetiariiExeConfig().folder("x") == tmp_path / "home" / "x"
    assert RetiariiExeConfig(experiment_working_directory=str(tmp_path)).folder("x") == tmp_path / "x"
    assert RetiariiExeConfig(experiment_directory=tmp_path / "demo").folder("x") == tmp_path / "demo"


def test_a_higher_layer_can_register_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "_ENGINES", dict(configuration._ENGINES))
    register_engine("mine", "graphnas.experiment.engines:PyEngine")
    assert RetiariiExeConfig(execution_engine="mine").execution_engine == "mine"
    with pytest.raises(ConfigError, match="the name 'py' is taken"):
        register_engine("py", "elsewhere:Engine")
