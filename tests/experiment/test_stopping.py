from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graphnas.errors import StoreError
from graphnas.experiment.stopping import stop_experiment
from graphnas.experiment.store import Description, Store
from graphnas.experiment.store.place import LOCK_NAME, is_locked

HOLDER = """
import signal, sys, time
from pathlib import Path
from graphnas.experiment.store.place import take_lock
lock = take_lock(Path(sys.argv[1]))
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == "stubborn" else lambda *_: sys.exit(0))
print("locked", flush=True)
time.sleep(60)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Store.create(tmp_path / "x", Description("x", {}, {}, None, None, None)).close()
    return tmp_path / "x"


@contextmanager
def held(folder: Path, manner: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(folder), manner]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_running_experiment_is_ended_by_its_process(folder: Path) -> None:
    assert stop_experiment(folder, 30) is None
    with held(folder, "gentle") as process:
        assert stop_experiment(folder, 30) == process.pid
        assert process.wait(30) == 0
    assert not is_locked(folder)


def test_one_that_does_not_end_is_reported(folder: Path) -> None:
    with held(folder, "stubborn") as process:
        with pytest.raises(StoreError, match=rf"process {process.pid} was asked to end and has not in 0\.2 s; kill it"):
            stop_experiment(folder, 0.2)
        assert process.poll() is None


def test_a_process_that_does_not_hold_the_lock_gets_no_signal(folder: Path) -> None:
    with held(folder, "gentle") as process, subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as other:
        (folder / LOCK_NAME).write_text(f"{other.pid}\n")
        with pytest.raises(StoreError, match="is not seen from here; end it where it was started"):
            stop_experiment(folder, 1)
        time.sleep(0.1)
        assert other.poll() is None
        assert process.poll() is None
        other.kill()
