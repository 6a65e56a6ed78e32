"""Executors: what runs trials, and how their ends are told apart.

`base` states the contract, `runner` is what happens inside every trial, `log` keeps what it prints. `inprocess` runs
trials here. `process` runs them in workers: `child` is a worker as its parent holds it, `worker` is the other end,
`channel` what they speak over; `gpus` and `memory` ask the machine. `cluster` runs them on Ray: `host` is what lives on
a node, `shipping` takes the code there. `choice` knows which of them a configuration asks for.
"""

from __future__ import annotations

from graphnas.experiment.executors.base import Ended, Event, Executor, Reported, Task, Workload
from graphnas.experiment.executors.choice import make_executor
from graphnas.experiment.executors.inprocess import InProcessExecutor
from graphnas.experiment.executors.process import ProcessExecutor

__all__ = [
    "Ended",
    "Event",
    "Executor",
    "InProcessExecutor",
    "ProcessExecutor",
    "Reported",
    "Task",
    "Workload",
    "make_executor",
]
