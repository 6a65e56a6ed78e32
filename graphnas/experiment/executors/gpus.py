"""Which GPUs of this machine a trial gets: found by `nvidia-smi`, shared out, and handed over by the environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graphnas.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
_SMI_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Gpu:
    """A GPU as `nvidia-smi` sees it.

    Attributes:
        index: Its number, in the order of the PCI bus.
        uuid: Its name for all time.
        processes: The processes that compute on it.
    """

    index: int
    uuid: str
    processes: tuple[int, ...] = ()


class GpuShares:
    """The GPUs that the trials of one executor may use, each claimed by so many slots as may share it.

    A slot keeps what it has claimed. So whether others compute on a GPU is looked at before it is claimed and not
    later, when the slot's own worker does.

    Args:
        each: Number of GPUs of one trial.
        per_gpu: Number of trials that may share one.
        indices: The GPUs that may be used; None for all.
        use_active: Whether GPUs may be claimed on which others compute.
        find: Returns the GPUs as they are now.

    Raises:
        ConfigError: There are not enough GPUs, whatever runs on them, or no such ones.
    """

    def __init__(
        self,
        each: int,
        *,
        per_gpu: int = 1,
        indices: Sequence[int] | None = None,
        use_active: bool = False,
        find: Callable[[], list[Gpu]] | None = None,
    ) -> None:
        self._each = each
        self._per_gpu = per_gpu
        self._indices = None if indices is None else tuple(indices)
        self._use_active = use_active
        self._find = find or find_gpus
        self._claims: dict[int, int] = {}
        self._active: tuple[Gpu, ...] = ()
        found = self._usable()
        if len(found) < each:
            raise ConfigError(
                f"trial_gpu_number: a trial is to have {each} GPU(s), but {len(found)} can be used here"
                f"{'' if found else ' (as nvidia-smi and CUDA_VISIBLE_DEVICES say)'}; lower it, or leave it out to let "
                "trials use what they find",
                field="trial_gpu_number",
            )
        self.capacity = len(found) * per_gpu // each

    def claim(self) -> Mapping[str, str] | None:
        """Return the environment of a worker with GPUs of its own, or None while there are not enough free ones."""
        found = self._usable()
        self._active = tuple(
            gpu for gpu in found if gpu.processes and not self._use_active and gpu.index not in self._claims
        )
        free = [gpu for gpu in found if gpu not in self._active and self._claims.get(gpu.index, 0) < self._per_gpu]
        free.sort(key=lambda gpu: self._claims.get(gpu.index, 0))
        if len(free) < self._each:
            return None
        chosen = sorted(gpu.index for gpu in free[: self._each])
        for index in chosen:
            self._claims[index] = self._claims.get(index, 0) + 1
        return {VISIBLE: ",".join(map(str, chosen)), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

    def reason(self) -> str:
        """Say why the last claim got nothing."""
        busy = [f"GPU {gpu.index} (process {', '.join(map(str, gpu.processes))})" for gpu in self._active]
        if not busy:
            return "all GPUs are taken by other trials"
        return f"others compute on {', '.join(busy)}; set training_service.use_active_gpu=True to use these as well"

    def _usable(self) -> list[Gpu]:
        found = [gpu for gpu in self._find() if _is_visible(gpu, os.environ.get(VISIBLE))]
        if self._indices is None:
            return found
        missing = set(self._indices) - {gpu.index for gpu in found}
        if missing:
            raise ConfigError(
                f"training_service.gpu_indices: there is no GPU {', '.join(map(str, sorted(missing)))} to use here; "
                f"there are {', '.join(str(gpu.index) for gpu in found) or 'none'}",
                field="training_service.gpu_indices",
            )
        return [gpu for gpu in found if gpu.index in self._indices]


def _is_visible(gpu: Gpu, visible: str | None) -> bool:
    if visible is None:
        return True
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return any(name == str(gpu.index) or (len(name) > 4 and gpu.uuid.startswith(name)) for name in names)


def find_gpus(run: Callable[[Sequence[str]], str] | None = None) -> list[Gpu]:
    """Return the GPUs of this machine; none where there is no `nvidia-smi`, or it fails.

    Args:
        run: Runs a command and returns what it prints.
    """
    run = run or _output_of
    computing: dict[str, list[int]] = {}
    for uuid, process in _rows(run(["nvidia-smi", "--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader"])):
        computing.setdefault(uuid, []).append(int(process))
    rows = _rows(run(["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]))
    return [Gpu(int(index), uuid, tuple(computing.get(uuid, ()))) for index, uuid in rows]


def _rows(text: str) -> list[tuple[str, str]]:
    """Return the lines of two columns; a GPU or a process that went meanwhile is written as a word and left out."""
    rows = [tuple(cell.strip() for cell in line.split(",")) for line in text.splitlines()]
    return [(row[0], row[1]) for row in rows if len(row) == 2 and (row[0].isdigit() or row[1].isdigit())]


def _output_of(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SMI_TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
