"""How trials behave, well and badly, and how each is to end: what the contract of executors is tried with.

Nothing here needs a model. `Behave` is the workload; a task's decision `what` is the name of the behaviour.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphnas.errors import MutationError
from graphnas.experiment.executors.base import Task
from graphnas.experiment.trial import (
    TrialStatus,
    current_trial,
    report_final_result,
    report_intermediate_result,
    should_stop,
)

FLOOD_BYTES = 48 << 20
_PATIENCE_S = 60.0

BuildModel = Callable[[], Any]


@dataclass(frozen=True)
class Behaviour:
    """One way to behave, and the end that it is to come to.

    Attributes:
        run: What the evaluator does.
        status: How the trial is to end.
        reason: What its error must contain.
        needs_isolation: Whether only an executor with a process for each trial can end it so.
        timeout_s: Time limit of the trial.
        silence_s: Limit of the time without a sign of life.
    """

    run: Callable[[BuildModel], Any]
    status: TrialStatus = TrialStatus.COMPLETED
    reason: str = ""
    needs_isolation: bool = False
    timeout_s: float | None = None
    silence_s: float | None = None


class Behave:
    """A workload that builds nothing and behaves as the task says."""

    def build(self, task: Task) -> Any:
        raise MutationError("channels disagree: expected 8, got 16", site="net.conv")

    def evaluate(self, build_model: BuildModel) -> Any:
        return BEHAVIOURS[current_trial().decisions["what"]].run(build_model)


class Unloadable:
    """A workload whose pickle cannot be read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return int, ("not a number",)


class _Wordless(Exception):  # noqa: N818  # an error of somebody else's
    def __str__(self) -> str:
        raise ValueError("cannot even say what went wrong")


def _raising(error: BaseException) -> Callable[[BuildModel], Any]:
    def run(_: BuildModel) -> Any:
        raise error

    return run


def _steps(_: BuildModel) -> int:
    for step in range(3):
        report_intermediate_result(step)
    return 3


def _dictionary(_: BuildModel) -> str:
    report_final_result({"default": 0.5, "loss": 2})
    return "not a metric, and not asked for"


def _reports_twice(_: BuildModel) -> None:
    report_final_result(1.0)
    report_final_result(2.0)


def _chatty(_: BuildModel) -> float:
    print("to stdout")
    print("to stderr, ümlaut", file=sys.stderr)
    return 1.0


def _flood(_: BuildModel) -> float:
    print("the first line")
    line = "x" * ((1 << 20) - 1)
    for _step in range(FLOOD_BYTES >> 20):
        print(line)
    print("the last line")
    return 1.0


def _hang(_: BuildModel) -> None:
    report_intermediate_result(0.75)
    while True:
        time.sleep(0.01)


def _stubborn(build: BuildModel) -> Any:
    try:
        _hang(build)
    except Exception:
        return 1.0


def _deaf(build: BuildModel) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _hang(build)


def _talkative(_: BuildModel) -> float:
    for step in range(4):
        time.sleep(0.5)
        if step % 2:
            print("still there")
        else:
            report_intermediate_result(step)
    return 1.0


def _until_stopped(_: BuildModel) -> float:
    report_intermediate_result(0.125)
    deadline = time.monotonic() + _PATIENCE_S
    while not should_stop():
        if time.monotonic() > deadline:
            raise TimeoutError("was never asked to stop")
        time.sleep(0.005)
    return 0.125


def _segfault(_: BuildModel) -> None:
    print("before the crash")
    report_intermediate_result(0.25)
    ctypes.string_at(0)


def _killed(_: BuildModel) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dies_reporting(_: BuildModel) -> None:
    """Report without a pause, large metrics, until a thread ends the process in the middle."""
    many = {"default": 0.0} | {f"metric {index}": float(index) for index in range(20_000)}
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    while True:
        report_intermediate_result(many)


def _out_of_address_space(_: BuildModel) -> None:
    import torch

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, hard))
    try:
        torch.ones(1 << 34)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _fork(_: BuildModel) -> float:
    """Start processes in three ways, report their numbers, and leave them behind."""
    child = os.fork()
    if child == 0:
        time.sleep(10 * _PATIENCE_S)
        os._exit(0)
    command = ["sleep", str(10 * _PATIENCE_S)]
    same = subprocess.Popen(command)
    other = subprocess.Popen(command, start_new_session=True)
    for number in (child, same.pid, other.pid):
        report_intermediate_result(number)
        same.returncode = other.returncode = 0  # so that nothing warns of what is left behind
    return 1.0


def _fork_and_die(build: BuildModel) -> None:
    _fork(build)
    _killed(build)


def _fork_and_hang(build: BuildModel) -> None:
    _fork(build)
    _hang(build)


def _return_twice(_: BuildModel) -> float:
    """Return from the function in two processes."""
    return 1.0 if os.fork() else 2.0


_FAILED, _OOM, _CRASHED, _TIMEOUT = TrialStatus.FAILED, TrialStatus.OOM, TrialStatus.CRASHED, TrialStatus.TIMEOUT

BEHAVIOURS: dict[str, Behaviour] = {
    "segfault": Behaviour(_segfault, _CRASHED, "killed by signal 11 (SIGSEGV)", True),
    "value": Behaviour(lambda _: 0.5),
    "killed": Behaviour(_killed, _CRASHED, "killed by signal 9 (SIGKILL)", True),
    "steps": Behaviour(_steps),
    "exits with 3": Behaviour(lambda _: os._exit(3), _CRASHED, "exited with code 3", True),
    "seed": Behaviour(lambda _: float(current_trial().seed)),
    "exits with 0": Behaviour(lambda _: os._exit(0), _CRASHED, "exited with code 0", True),
    "dictionary": Behaviour(_dictionary),
    "dies reporting": Behaviour(_dies_reporting, _CRASHED, "killed by signal 9 (SIGKILL)", True),
    "chatty": Behaviour(_chatty),
    "forks": Behaviour(_fork, needs_isolation=True),
    "forks and dies": Behaviour(_fork_and_die, _CRASHED, "killed by signal 9 (SIGKILL)", True),
    "forks and hangs": Behaviour(_fork_and_hang, _TIMEOUT, "took longer than 0.5 s", True, timeout_s=0.5),
    "returns twice": Behaviour(_return_twice, needs_isolation=True),
    "process": Behaviour(lambda _: os.getpid()),
    "flood": Behaviour(_flood),
    "raises": Behaviour(_raising(ZeroDivisionError("by hand")), _FAILED, "ZeroDivisionError: by hand"),
    "wordless": Behaviour(_raising(_Wordless()), _FAILED, "_Wordless"),
    "leaves": Behaviour(_raising(SystemExit(3)), _FAILED, "SystemExit: 3"),
    "reports twice": Behaviour(_reports_twice, _FAILED, "has already reported 1.0"),
    "text": Behaviour(lambda _: "0.9", _FAILED, "expected a number, or a dictionary of numbers with the key 'default'"),
    "nan": Behaviour(lambda _: float("nan"), _FAILED, "expected a finite number, got nan"),
    "nothing": Behaviour(lambda _: None, _FAILED, "returned nothing and did not call report_final_result"),
    "no default": Behaviour(lambda _: {"loss": 1.0}, _FAILED, "needs the key 'default'"),
    "infinite step": Behaviour(
        lambda _: report_intermediate_result(float("inf")), _FAILED, "expected a finite number, got inf"
    ),
    "refusal": Behaviour(lambda build: build(), TrialStatus.INVALID, "expected 8, got 16"),
    "memory": Behaviour(_raising(MemoryError()), _OOM, "MemoryError"),
    "memory of a GPU": Behaviour(
        _raising(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")), _OOM, "CUDA out of memory"
    ),
    "memory limit": Behaviour(_out_of_address_space, _OOM, "allocate", True),
    "hang": Behaviour(_hang, _TIMEOUT, "took longer than 0.5 s", timeout_s=0.5),
    "stubborn": Behaviour(_stubborn, _TIMEOUT, "took longer than 0.5 s", timeout_s=0.5),
    "deaf": Behaviour(_deaf, _TIMEOUT, "took longer than 0.5 s", True, timeout_s=0.5),
    "silent": Behaviour(_hang, _TIMEOUT, "reported and printed nothing for 1 s", silence_s=1),
    "talkative": Behaviour(_talkative, silence_s=1.5),
    "until stopped": Behaviour(_until_stopped, TrialStatus.PRUNED, needs_isolation=True),
}
"""Deadly ones come first, an innocent one behind each, so that the death of a worker has somebody to harm."""
