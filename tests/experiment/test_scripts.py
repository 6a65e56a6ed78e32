"""Experiments as users start them, from a script, and ended from outside: signals, kill -9, a missing guard."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import graphnas
from graphnas.experiment.store import Store
from graphnas.experiment.trial import Trial

PROGRAM = Path(__file__).with_name("program.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(graphnas.__file__).parents[1])}
PATIENCE_S = 240.0


def start(script: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def finished(script: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(script, *arguments)
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def trials(folder: Path) -> list[Trial]:
    store = Store.open(folder)
    try:
        return store.trials()
    finally:
        store.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def has_completed(folder: Path, count: int) -> bool:
    with closing(sqlite3.connect(f"file:{folder / 'experiment.db'}?mode=ro", uri=True)) as database:
        try:
            ((found,),) = database.execute("SELECT COUNT(*) FROM trial WHERE status = 'COMPLETED'")
        except sqlite3.OperationalError:
            return False
    return bool(found >= count)


def workers_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_experiment_ended_from_outside_loses_nothing_and_resumes(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "experiment"
    process = start(PROGRAM, "run", str(folder), "0.15")
    wait_until(lambda: (folder / "experiment.db").exists() and has_completed(folder, 3))
    children = workers_of(process.pid)
    assert len(children) >= 2
    before = time.monotonic()
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert time.monotonic() - before < 5
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: -2, signal.SIGTERM: 143}[number]
    wait_until(lambda: all(is_gone(child) for child in children))
    kept = {trial.number: trial for trial in trials(folder) if trial.status.is_final}
    assert len(kept) >= 3
    if number is not signal.SIGKILL:
        assert "interrupted. Trials:" in out
        assert f"Resume: graphnas.RetiariiExperiment.resume('{folder}', base_model=...)" in out

    if number is signal.SIGTERM:
        return  # from here on the same as after Ctrl-C

    code, out, err = finished(PROGRAM, "resume", str(folder), "0")
    assert code == 0, err
    rows = trials(folder)
    assert [row.number for row in rows] == list(range(12))
    assert sorted(row.decisions["width"] for row in rows) == list(range(1, 13)), "none lost, none twice"
    assert all(row.metric == row.decisions["width"] for row in rows)
    assert all(rows[number] == trial for number, trial in kept.items())
    with closing(sqlite3.connect(folder / "experiment.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_script_without_a_guard_gets_a_clear_error_and_no_flood_of_processes(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        PROGRAM.read_text().replace('if __name__ == "__main__":', "if True:").replace("sys.argv[1]", '"run"')
    )
    code, _, err = finished(script, "run", str(tmp_path / "experiment"), "0")
    assert code == 1
    assert "this script starts an experiment while a worker process imports it" in err
    assert err.rstrip().endswith("put the call of run() under `if __name__ == '__main__':`")
    assert trials(tmp_path / "experiment") == [] or not any(t.status.is_final for t in trials(tmp_path / "experiment"))
