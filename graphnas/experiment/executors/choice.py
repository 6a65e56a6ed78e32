"""The executor that a configuration asks for."""

from __future__ import annotations

from graphnas.experiment.config import LocalConfig, RayConfig, RetiariiExeConfig
from graphnas.experiment.executors.base import Executor
from graphnas.experiment.executors.gpus import GpuShares
from graphnas.experiment.executors.inprocess import InProcessExecutor
from graphnas.experiment.executors.process import ProcessExecutor


def make_executor(config: RetiariiExeConfig) -> Executor:
    """Return the executor that a valid configuration describes, not yet open.

    Raises:
        ConfigError: This machine has not what it takes: Ray, or enough GPUs.
    """
    if config.executor == "inprocess":
        return InProcessExecutor()
    service, gpus = config.training_service, config.trial_gpu_number
    if isinstance(service, RayConfig):
        from graphnas.experiment.executors.cluster import RayExecutor  # only this needs Ray

        return RayExecutor(
            config.trial_concurrency,
            address=service.address,
            num_cpus=service.num_cpus,
            num_gpus=service.num_gpus,
            trial_cpus=service.trial_cpu_number,
            trial_gpus=(gpus or 0) / service.max_trial_number_per_gpu,
            trial_resources=service.trial_resources,
            runtime_env=service.runtime_env,
        )
    if not isinstance(service, LocalConfig):
        raise RuntimeError(f"there is no executor for the platform {service.platform!r}")
    shares = None
    if gpus:
        shares = GpuShares(
            gpus,
            per_gpu=service.max_trial_number_per_gpu,
            indices=service.gpu_indices,
            use_active=service.use_active_gpu,
        )
    return ProcessExecutor(config.trial_concurrency, gpus=shares, hide_gpus=gpus == 0)
