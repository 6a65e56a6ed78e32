"""Whether the kernel has killed a process for want of memory, which the process itself can no longer tell."""

from __future__ import annotations

import functools
from pathlib import Path

_KEY = "oom_kill "


def oom_kills() -> int:
    """Return how many processes the kernel has killed so far for want of memory; 0 where it does not say."""
    source = _source()
    return 0 if source is None else _count(source) or 0


@functools.cache
def _source(root: Path = Path("/")) -> Path | None:
    """Return the counter of this control group, or that of the whole machine where the group has none."""
    groups: list[Path] = []
    try:
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                groups.append(root / "sys/fs/cgroup" / path.lstrip("/") / "memory.events")
    except (OSError, ValueError):
        pass
    candidates = (*groups, root / "sys/fs/cgroup/memory.events", root / "proc/vmstat")
    return next((path for path in candidates if _count(path) is not None), None)


def _count(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(_KEY)), None)
