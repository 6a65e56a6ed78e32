"""What a run may be told: the fields of `RetiariiExeConfig`, each checked at the moment it is set.

What belongs here: fields, their checks, YAML, and the names of the execution engines. What does not: anything that acts
on them. `checks` judges single values, `fields` is the base of everything with fields, `engine` names engines,
`service` says where trials run, `exe` is the whole, `yaml_file` reads it. Nothing here imports torch.
"""

from __future__ import annotations

from graphnas.experiment.config.checks import parse_duration
from graphnas.experiment.config.engine import (
    BaseEngineConfig,
    EngineConfig,
    PyEngineConfig,
    load_engine,
    register_engine,
    registered_engines,
)
from graphnas.experiment.config.exe import HOME_VARIABLE, RetiariiExeConfig, experiments_home
from graphnas.experiment.config.service import LocalConfig, RayConfig, TrainingServiceConfig

__all__ = [
    "HOME_VARIABLE",
    "BaseEngineConfig",
    "EngineConfig",
    "LocalConfig",
    "PyEngineConfig",
    "RayConfig",
    "RetiariiExeConfig",
    "TrainingServiceConfig",
    "experiments_home",
    "load_engine",
    "parse_duration",
    "register_engine",
    "registered_engines",
]
