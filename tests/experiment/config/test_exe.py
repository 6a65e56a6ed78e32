from __future__ import annotations

from pathlib import Path

import pytest

from graphnas.errors import ConfigError
from graphnas.experiment.config import BaseEngineConfig, LocalConfig, RayConfig, RetiariiExeConfig, parse_duration


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trial_concurency": 2}, "trial_concurency: there is no such field; did you mean 'trial_concurrency'?"),
        ({"zzz": 2}, "zzz: there is no such field; expected one of 'training_service'"),
        ({"trial_concurrency": 0}, "trial_concurrency: expected a whole number of at least 1, got 0"),
        ({"trial_concurrency": True}, "trial_concurrency: expected a whole number of at least 1, got True"),
        ({"max_experiment_duration": "soon"}, "max_experiment_duration: expected a positive number of seconds"),
        ({"max_trial_duration": -1}, "max_trial_duration: expected a positive number of seconds"),
        ({"executor": "thread"}, "executor: expected one of 'process', 'inprocess', got 'thread'"),
        ({"debug": 1}, "debug: expected True or False, got 1"),
        ({"seed": "0"}, "seed: expected a whole number, got '0'"),
        ({"experiment_name": ""}, "experiment_name: expected a text that is not empty, got ''"),
        ({"trial_code_directory": "."}, "trial_code_directory: must not be set: the code of a trial is"),
        ({"use_active_gpu": True}, "use_active_gpu: there is no such field; did you mean 'training_service.use_active"),
        ({"max_trial_s": 3}, "max_trial_s: there is no such field"),
        ({"trial_gpu_number": -1}, "trial_gpu_number: expected a whole number of at least 0, got -1"),
        ({"max_trial_silence": "0s"}, "max_trial_silence: expected a positive number of seconds"),
        ({"keep_checkpoints": "best:0"}, "keep_checkpoints: expected 'all', 'last', or 'best:K' with a whole number"),
        ({"max_retries_lost": -1}, "max_retries_lost: expected a whole number of at least 0"),
        ({"log_level": "loud"}, "log_level: expected one of 'trace', 'debug'"),
        ({"tuner": {"name": "TPE"}}, "tuner: must not be set: a strategy chooses the candidates"),
        ({"use_annotation": True}, "use_annotation: must not be set: annotations in comments are not read"),
        ({"search_space": {}}, "search_space: must not be set: the space comes from"),
        ({"trial_command": "x"}, "trial_command: must not be set: trials run inside"),
        ({"execution_engine": "cgo"}, "execution_engine: no execution engine 'cgo' is registered.*'py', 'graph'"),
        ({"training_service_platform": "remote"}, "training_service_platform: expected one of 'local', 'ray' or None"),
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


def test_fields_of_the_predecessor_that_say_nothing_are_accepted_and_forgotten() -> None:
    config = RetiariiExeConfig("local", experiment_type="nas", use_annotation=False, nni_manager_ip=None)
    assert config == RetiariiExeConfig()
    config.log_level = "trace"
    assert config.log_level == "debug"


def test_the_platform_brings_its_own_fields() -> None:
    config = RetiariiExeConfig("ray")
    assert isinstance(config.training_service, RayConfig)
    config.training_service.address = "auto"
    config.training_service_platform = "ray"
    assert config.training_service.address == "auto", "the same platform keeps what was set"
    config.training_service_platform = None
    assert config.training_service == LocalConfig()
    with pytest.raises(ConfigError, match="platform: is 'local', but training_service_platform is 'ray'"):
        RetiariiExeConfig("ray", training_service=LocalConfig())
    with pytest.raises(ConfigError, match="executor: 'inprocess' runs trials in this process, not on 'ray'"):
        RetiariiExeConfig("ray", executor="inprocess").validate()


def test_an_experiment_stored_before_there_were_training_services_is_read() -> None:
    config = RetiariiExeConfig.from_json({"training_service_platform": "local", "execution_engine": "py", "seed": 3})
    assert config == RetiariiExeConfig(seed=3)


def test_yaml_round_trip(tmp_path: Path) -> None:
    config = RetiariiExeConfig("local", BaseEngineConfig(dummy_input=[1, 3, 32, 32]), trial_concurrency=2, seed=7)
    config.training_service = LocalConfig(gpu_indices="0,2")
    config.save(tmp_path / "config.yaml")
    assert RetiariiExeConfig.load(tmp_path / "config.yaml") == config


def test_yaml_in_the_spelling_of_the_predecessor(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        """
experimentName: mnist
trialConcurrency: 2
maxExperimentDuration: 1h
experimentWorkingDirectory: runs
trainingService:
  platform: local
  useActiveGpu: true
  maxTrialNumberPerGpu: 2
"""
    )
    config = RetiariiExeConfig.load(path)
    assert (config.experiment_name, config.trial_concurrency, config.max_experiment_s) == ("mnist", 2, 3600.0)
    assert config.folder("x") == tmp_path / "runs" / "x"
    assert config.training_service == LocalConfig(use_active_gpu=True, max_trial_number_per_gpu=2)


@pytest.mark.parametrize(
    ("text", "message", "field"),
    [
        ("trial_concurency: 2", "trial_concurency: there is no such field; did you mean", "trial_concurency"),
        (
            "training_service: {use_activ_gpu: true}",
            r"training_service.use_activ_gpu: there is no such field; did you mean 'training_service.use_active_gpu'\?",
            "training_service.use_activ_gpu",
        ),
        (
            "trainingService: {platform: slurm}",
            "training_service.platform: expected one of",
            "training_service.platform",
        ),
        ("training_service: local", "training_service: expected a LocalConfig, a RayConfig, or a", "training_service"),
        ("execution_engine: {name: base, dummy_input: x}", "execution_engine.dummy_input: expected the shape", None),
        ("trial_concurrency: 1\ntrialConcurrency: 2", "trial_concurrency: is given twice", "trial_concurrency"),
        ("seed: 1\nseed: 2", "is not YAML: the key 'seed' stands twice", ""),
        ("a: [", "is not YAML: while parsing", ""),
        ("- 1", "expected a mapping of fields, got list", ""),
        ("seed: !!python/object/apply:os.getpid []", "is not YAML: could not determine a constructor", ""),
    ],
)
def test_errors_in_yaml_name_the_file_and_the_field(tmp_path: Path, text: str, message: str, field: str | None) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"config\.yaml: {message}") as caught:
        RetiariiExeConfig.load(path)
    assert field is None or caught.value.field == field


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        RetiariiExeConfig.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be written"):
        RetiariiExeConfig().save(tmp_path / "no folder" / "config.yaml")
