"""Trials on a Ray cluster: an actor for each slot, which runs them in a process of its own on its node.

So a trial that crashes, hangs or runs out of memory ends as on one machine, and an actor dies only with its node: then
its trial is LOST. Ray retries nothing; the experiment does, where it is told to. Only the driver writes the
experiment's folder. Nothing is shared between actors: each is asked by a call of its own for what has happened.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment.executors import host
from graphnas.experiment.executors.base import Ended, Event, Executor, Reported, Task, Workload
from graphnas.experiment.executors.shipping import pack_sources
from graphnas.experiment.trial import LOG_NAME, Metric, Outcome, TrialStatus
from graphnas.version import __version__

logger = logging.getLogger("graphnas.executors")

_POLL_S = 20.0
_CLOSE_S = 3.0
_MAX_DEATHS = 5
_CONNECT_S = 10.0
_SAY_AFTER_S = 10.0
_SAY_AGAIN_S = 60.0


@dataclass
class _Slot:
    """An actor, the call that asks it what has happened, and the trial that it runs."""

    actor: Any
    poll: Any
    is_ready: bool = False
    task: Task | None = None
    started_at: float = 0.0
    reported: list[Metric] = field(default_factory=list)


class RayExecutor(Executor):
    """Runs tasks on a Ray cluster.

    Args:
        concurrency: Number of trials at a time, where the cluster has the resources.
        address: Address of a running cluster, or `'auto'`; None starts one on this machine, which ends with the
            executor. Ray that was initialised in this process already is used as it is.
        num_cpus: CPUs of a cluster that is started here; None for all.
        num_gpus: The same for GPUs.
        trial_cpus: CPUs of one trial.
        trial_gpus: GPUs of one trial; a fraction lets several share one.
        trial_resources: Amounts of custom resources of one trial.
        runtime_env: Ray's runtime environment of the workers.

    Raises:
        ConfigError: Ray is not installed.
    """

    is_remote = True

    def __init__(
        self,
        concurrency: int,
        *,
        address: str | None = None,
        num_cpus: int | None = None,
        num_gpus: int | None = None,
        trial_cpus: float = 1,
        trial_gpus: float = 0,
        trial_resources: Mapping[str, float] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> None:
        self._ray = _import_ray()
        self._most = concurrency
        self._address = address
        self._cluster = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        self._threads = max(1, math.floor(trial_cpus))
        self._options: dict[str, Any] = {
            "num_cpus": trial_cpus,
            "num_gpus": trial_gpus,
            "resources": dict(trial_resources or {}),
            "runtime_env": dict(runtime_env) if runtime_env else None,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": 2,  # a word may be left while a poll waits
            "scheduling_strategy": "SPREAD",
        }
        self._slots: list[_Slot] = []
        self._is_ours = False
        self._arguments: tuple[Any, ...] = ()
        self._deaths = 0  # of actors, since the last end of a trial
        self._waiting_since = self._said_at = 0.0

    @property
    def concurrency(self) -> int:  # type: ignore[override]  # here it is the cluster that decides
        """Number of slots that the cluster has room for now, and at least one."""
        return max(1, sum(slot.is_ready or slot.task is not None for slot in self._slots))

    @property
    def running(self) -> int:
        return sum(slot.task is not None for slot in self._slots)

    def open(self, load_workload: bytes | Workload) -> None:
        if not isinstance(load_workload, bytes):
            raise ExperimentError("the Ray executor takes the cloudpickle of the workload")
        self._connect()
        self._arguments = (self._ray.put(load_workload), self._ray.put(pack_sources()), self._threads)
        self._waiting_since = time.monotonic()
        self._slots = [self._new_slot() for _ in range(self._most)]

    def submit(self, task: Task) -> None:
        free = [slot for slot in self._slots if slot.task is None]
        if not free:
            raise ExperimentError(f"all {len(self._slots)} slots are taken; wait until one is free")
        slot = next((slot for slot in free if slot.is_ready), free[0])
        (task.directory / LOG_NAME).unlink(missing_ok=True)
        self._run(slot, task)

    def wait(self, timeout_s: float) -> list[Event]:
        deadline = time.monotonic() + timeout_s
        events: list[Event] = []
        while not events and (remaining := deadline - time.monotonic()) > 0:
            slots = {slot.poll: slot for slot in self._slots}
            done, _ = self._ray.wait(list(slots), num_returns=1, timeout=remaining)
            if done:
                done, _ = self._ray.wait(list(slots), num_returns=len(slots), timeout=0)
            for poll in done:
                events += self._take(slots[poll])
            self._say_what_is_waited_for()
        return events

    def request_stop(self, number: int) -> None:
        for slot in self._slots:
            if slot.task is not None and slot.task.number == number:
                slot.actor.request_stop.remote(number)

    def close(self) -> None:
        ready = [slot for slot in self._slots if slot.is_ready]
        with contextlib.suppress(self._ray.exceptions.RayError):
            for slot in ready:
                slot.actor.close.remote()
            if ready:  # so that their folders go; the processes would end anyway
                self._ray.wait([slot.poll for slot in ready], num_returns=len(ready), timeout=_CLOSE_S)
            for slot in self._slots:
                self._ray.kill(slot.actor)
        self._slots = []
        self._arguments = ()
        if self._is_ours:
            self._ray.shutdown()
            self._is_ours = False

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        here = {} if self._address is not None else {"include_dashboard": False, **self._cluster}
        try:
            _check_reachable(self._address)
            with _signals_kept():
                self._ray.init(address=self._address or "local", log_to_driver=False, logging_level="warning", **here)
        except (OSError, RuntimeError, ValueError) as error:
            raise ExperimentError(
                f"training_service.address: there is no Ray at {self._address or 'this machine'}: {error}"
            ) from error
        self._is_ours = True

    def _new_slot(self) -> _Slot:
        actor = self._ray.remote(host.Host).options(**self._options).remote(*self._arguments)
        return _Slot(actor, actor.poll.remote(_POLL_S))

    def _run(self, slot: _Slot, task: Task) -> None:
        """Send a trial to an actor, with the files that it begins with."""
        files = {
            path.relative_to(task.directory).as_posix(): path.read_bytes()
            for path in task.directory.rglob("*")
            if path.is_file()
        }
        sent = task
        if task.checkpoint is not None:
            name = Path("parent") / task.checkpoint.name
            files[name.as_posix()] = task.checkpoint.read_bytes()
            sent = replace(task, checkpoint=name)
        slot.task, slot.reported, slot.started_at = task, [], time.monotonic()
        slot.actor.run.remote(sent, files)

    def _take(self, slot: _Slot) -> list[Event]:
        """Return what an actor has to say, and ask again; a dead one is replaced."""
        try:
            messages: list[host.Message] = self._ray.get(slot.poll)
        except self._ray.exceptions.RayError as error:  # its node is gone, or it failed there, as on a full disk
            return self._replace(slot, error)
        events: list[Event] = []
        for message in messages:
            events += self._handle(slot, *message)
        slot.poll = slot.actor.poll.remote(_POLL_S)
        return events

    def _handle(self, slot: _Slot, kind: str, *content: Any) -> list[Event]:
        if kind == host.READY:
            _check_version(content[0])
            slot.is_ready = True
        elif kind == host.BROKEN:
            raise ExperimentError(content[0])
        elif slot.task is None or slot.task.number != content[0]:
            return []
        elif kind == host.REPORT:
            _, step, metric = content
            slot.reported.append(metric)
            return [Reported(slot.task.number, step, metric)]
        elif kind == host.FILE:
            _write(slot.task.directory, *content[1:])
        elif kind == host.END:
            number, outcome = content
            slot.task = None
            self._deaths = 0
            return [Ended(number, outcome)]
        return []

    def _replace(self, slot: _Slot, error: Any) -> list[Event]:
        """Ask for another actor in place of a dead one, and report its trial as LOST, if it can have begun one."""
        if getattr(error, "actor_init_failed", False):
            raise ExperimentError(
                f"a worker on the cluster cannot be started: {error}\ngraphnas and torch must be installed on every "
                "node in the versions that are used here"
            )
        self._deaths += 1
        if self._deaths > _MAX_DEATHS * len(self._slots):
            raise ExperimentError(f"the workers on the cluster end before any trial does, the last as: {error}")
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(slot.actor)
        fresh = self._new_slot()
        task = slot.task
        self._slots[self._slots.index(slot)] = fresh
        if task is None:
            return []
        if not slot.is_ready:  # the node may have gone before Ray knew
            self._run(fresh, task)
            return []
        first_line = next(iter(str(error).splitlines()), "")
        outcome = Outcome(
            TrialStatus.LOST,
            intermediate=tuple(slot.reported),
            error=f"the node of the trial, or the worker there, is gone: {first_line}",
            traceback=str(error),
            duration_s=time.monotonic() - slot.started_at,
        )
        return [Ended(task.number, outcome)]

    def _say_what_is_waited_for(self) -> None:
        now = time.monotonic()
        if all(slot.is_ready for slot in self._slots):
            self._waiting_since = now
        elif now - self._waiting_since > _SAY_AFTER_S and now - self._said_at > _SAY_AGAIN_S:
            self._said_at = now
            ready = sum(slot.is_ready for slot in self._slots)
            asked = {"CPU": self._options["num_cpus"], "GPU": self._options["num_gpus"], **self._options["resources"]}
            logger.warning(
                "%d of %d trials can run at a time: one asks for %s, and of %s the cluster has %s free",
                ready,
                len(self._slots),
                _amounts(asked),
                _amounts({name: self._ray.cluster_resources().get(name, 0) for name in asked}),
                _amounts({name: self._ray.available_resources().get(name, 0) for name in asked}),
            )


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "training_service_platform: 'ray' needs Ray, which is not installed; pip install 'graphnas[ray]'",
            field="training_service_platform",
        ) from error
    return ray


def _check_reachable(address: str | None) -> None:
    """Raise an `OSError` where nobody listens; Ray itself would try for minutes."""
    name, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if name and port.isdigit():
        socket.create_connection((name, int(port)), timeout=_CONNECT_S).close()


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the handler of SIGTERM, by which an experiment ends in good order; Ray would put its own there."""
    previous = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, previous)


def _check_version(version: str) -> None:
    if version != __version__:
        raise ExperimentError(
            f"a node of the cluster has graphnas {version}, this machine {__version__}; install the same on all"
        )


def _write(folder: Path, name: str, offset: int, data: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb" if offset == 0 else "r+b") as file:
        file.seek(offset)
        file.write(data)


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items() if amount or name == "CPU")
