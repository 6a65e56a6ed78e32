"""Where trials run: on this machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.config.checks import (
    amount,
    amounts,
    flag,
    indices,
    json_mapping,
    listed,
    optional,
    text,
    whole,
    wrong,
)
from graphnas.experiment.config.fields import Field, Fields, Foreign

_FIELD = "training_service"
_FOREIGN = {
    "trial_command": Foreign("trials run inside the workers; give a function to FunctionalEvaluator instead", (None,)),
    "trial_code_directory": Foreign("the code of a trial is the evaluator and the model; nothing is copied", (None,)),
    "trial_gpu_number": Foreign("set trial_gpu_number of the configuration itself", (None,)),
    "debug": Foreign("set debug of the configuration itself", (None, False)),
    "nni_manager_ip": Foreign("there is no manager that workers would have to reach", (None,)),
    # Workers are started once and take trial after trial, whatever is said.
    "reuse_mode": Foreign("workers are always reused; True and False are accepted", (None, True, False)),
}


class TrainingServiceConfig(Fields):
    """Where trials run; base of the classes for single platforms.

    Attributes:
        platform: Name of the platform.
    """

    platform: ClassVar[str]
    path = f"{_FIELD}."
    foreign = _FOREIGN

    def __setattr__(self, name: str, value: object) -> None:
        if name == "platform":
            raise ConfigError(
                f"{_FIELD}.platform: cannot change by itself; set training_service_platform={value!r}, which starts "
                "over with the fields of that platform",
                field=f"{_FIELD}.platform",
            )
        super().__setattr__(name, value)

    def to_json(self) -> dict[str, Any]:
        return {"platform": self.platform, **super().to_json()}


class LocalConfig(TrainingServiceConfig):
    """Trials run on this machine.

    Attributes:
        use_active_gpu: Whether trials may use a GPU on which other processes run.
        max_trial_number_per_gpu: So many trials may share one GPU.
        gpu_indices: The GPUs that may be used, as 1, [0, 1] or '0,1'; None for all.
    """

    platform = "local"
    fields = {  # noqa: RUF012  # declared in the base class
        "use_active_gpu": Field(flag, False),
        "max_trial_number_per_gpu": Field(whole(1), 1),
        "gpu_indices": Field(optional(indices)),
    }
    use_active_gpu: bool
    max_trial_number_per_gpu: int
    gpu_indices: list[int] | None


class RayConfig(TrainingServiceConfig):
    """Trials run on a Ray cluster.

    Attributes:
        address: Address of a running cluster, or `'auto'` for the one of this machine; None starts one here.
        num_cpus: CPUs of a cluster that is started here; None for all of the machine.
        num_gpus: The same for GPUs.
        trial_cpu_number: CPUs that one trial asks for.
        max_trial_number_per_gpu: So many trials may share one GPU.
        trial_resources: Amounts of Ray's custom resources, by name, that one trial asks for.
        runtime_env: Ray's runtime environment of the workers, as JSON.
    """

    platform = "ray"
    fields = {  # noqa: RUF012  # declared in the base class
        "address": Field(optional(text)),
        "num_cpus": Field(optional(whole(1))),
        "num_gpus": Field(optional(whole(0))),
        "trial_cpu_number": Field(amount, 1),
        "max_trial_number_per_gpu": Field(whole(1), 1),
        "trial_resources": Field(optional(amounts)),
        "runtime_env": Field(optional(json_mapping)),
    }
    address: str | None
    num_cpus: int | None
    num_gpus: int | None
    trial_cpu_number: float
    max_trial_number_per_gpu: int
    trial_resources: dict[str, float] | None
    runtime_env: dict[str, Any] | None


_PLATFORMS: dict[str, type[TrainingServiceConfig]] = {kind.platform: kind for kind in (LocalConfig, RayConfig)}


def service_of(field: str, platform: object) -> TrainingServiceConfig:
    """Return the service of a platform with everything as it is by default.

    Raises:
        ConfigError: There is no such platform.
    """
    name = "local" if platform is None else platform
    if not isinstance(name, str) or name not in _PLATFORMS:
        raise wrong(field, f"one of {listed(_PLATFORMS)} or None", platform)
    return _PLATFORMS[name]()


def check_service(field: str, value: object) -> TrainingServiceConfig:
    """Return a training service, given as an object or as a mapping with its `platform`."""
    if isinstance(value, TrainingServiceConfig):
        return value
    if not isinstance(value, Mapping):
        raise wrong(field, "a LocalConfig, a RayConfig, or a mapping of their fields with `platform`", value)
    rest = dict(value)
    service = service_of(f"{field}.platform", rest.pop("platform", None))
    for name, item in rest.items():
        setattr(service, name, item)
    return service
