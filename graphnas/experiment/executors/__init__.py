"""Executors: what runs trials, and how their ends are told apart.

`base` states the contract, `runner` is what happens inside every trial; then one module per executor, `worker` being
the other end of `process`.
"""

from __future__ import annotations

from graphnas.experiment.executors.base import Ended, Event, Executor, Reported, Task, Workload
from graphnas.experiment.executors.inprocess import InProcessExecutor
from graphnas.experiment.executors.process import ProcessExecutor

__all__ = ["Ended", "Event", "Executor", "InProcessExecutor", "ProcessExecutor", "Reported", "Task", "Workload"]
