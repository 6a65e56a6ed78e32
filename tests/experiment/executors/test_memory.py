"""The kernel's count of processes that it killed."""

from __future__ import annotations

from pathlib import Path

from graphnas.experiment.executors.memory import _count, _source, oom_kills


def test_the_count_of_the_control_group_goes_before_that_of_the_machine(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/user/me"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/old\n0::/user/me\n")
    (tmp_path / "proc/vmstat").write_text("oom_kill 7\n")
    assert _source(tmp_path) == tmp_path / "proc/vmstat"
    _source.cache_clear()
    (group / "memory.events").write_text("oom 5\noom_kill 3\noom_group_kill 1\n")
    source = _source(tmp_path)
    assert source == group / "memory.events"
    assert _count(source) == 3
    _source.cache_clear()


def test_a_machine_that_does_not_count_counts_nothing(tmp_path: Path) -> None:
    assert _source(tmp_path) is None
    _source.cache_clear()
    assert oom_kills() >= 0
