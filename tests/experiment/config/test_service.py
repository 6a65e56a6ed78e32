from __future__ import annotations

import pytest

from graphnas.errors import ConfigError
from graphnas.experiment.config import LocalConfig, RayConfig


@pytest.mark.parametrize(("value", "kept"), [(1, [1]), ([0, 2], [0, 2]), ((3,), [3]), ("0, 2", [0, 2]), (None, None)])
def test_indices_of_gpus(value: object, kept: object) -> None:
    assert LocalConfig(gpu_indices=value).gpu_indices == kept


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gpu_indices": [0, 0]}, "gpu_indices: expected distinct indices from 0"),
        ({"gpu_indices": "all"}, "gpu_indices: expected distinct indices from 0"),
        ({"gpu_indices": -1}, "gpu_indices: expected distinct indices from 0"),
        ({"max_trial_number_per_gpu": 0}, "max_trial_number_per_gpu: expected a whole number of at least 1"),
        ({"address": "auto"}, "address: there is no such field"),
        ({"platform": "ray"}, "platform: cannot change by itself; set training_service_platform='ray'"),
        ({"trial_gpu_number": 1}, "trial_gpu_number: must not be set: set trial_gpu_number of the configuration"),
        ({"debug": True}, "debug: must not be set: set debug of the configuration itself"),
    ],
)
def test_wrong_fields_are_refused_by_path(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"training_service.{message}") as caught:
        LocalConfig(**fields)
    assert caught.value.field == f"training_service.{next(iter(fields))}"


def test_workers_are_always_reused() -> None:
    assert LocalConfig(reuse_mode=True) == LocalConfig(reuse_mode=False) == LocalConfig()


def test_resources_of_a_cluster() -> None:
    service = RayConfig(address="10.0.0.1:6379", trial_cpu_number=0.5, trial_resources={"tpu": 2})
    assert service.to_json()["trial_resources"] == {"tpu": 2}
    with pytest.raises(ConfigError, match=r"training_service\.trial_resources\.tpu: expected a number above 0, got 0"):
        RayConfig(trial_resources={"tpu": 0})
    with pytest.raises(ConfigError, match=r"training_service\.runtime_env: cannot be written as JSON"):
        RayConfig(runtime_env={"pip": {1}})
