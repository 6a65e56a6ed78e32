"""Which checkpoints of ended trials are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from graphnas.experiment.checkpoint import CHECKPOINT_NAME


class CheckpointKeeper:
    """Deletes checkpoints that the policy does not keep, unless a running or a later trial may need them.

    Args:
        trials: The folder of the trials' folders.
        policy: `'all'`, `'last'` or `'best:K'`.
        maximize: Whether a larger metric is better.
    """

    def __init__(self, trials: Path, policy: str, *, maximize: bool) -> None:
        self._trials = trials
        self._maximize = maximize
        kind, _, count = policy.partition(":")
        self._best = int(count) if kind == "best" else None
        self._keeps_all = kind == "all"
        self._held: dict[int, float | None] = {}

    def path_of(self, number: int) -> Path | None:
        """Return the checkpoint of a trial, or None where it has none."""
        path = self._trials / str(number) / CHECKPOINT_NAME
        return path if path.is_file() else None

    def forget(self, number: int) -> None:
        """Delete the checkpoint of a trial that starts over."""
        (self._trials / str(number) / CHECKPOINT_NAME).unlink(missing_ok=True)
        self._held.pop(number, None)

    def take_up(self, ended: Iterable[tuple[int, float | None]]) -> None:
        """Take note of trials that ended in an earlier life, by number and metric, in the order of their ends."""
        if not self._keeps_all:
            self._held.update((number, metric) for number, metric in ended if self.path_of(number) is not None)

    def ended(self, number: int, metric: float | None, needed: Callable[[], Callable[[int], bool]]) -> None:
        """Take note that a trial ended, and delete what is no longer to be kept.

        Args:
            number: Number of the trial.
            metric: Its metric, or None.
            needed: Returns what tells whether a running or a later trial may continue the checkpoint of a trial; called
                only where there are checkpoints to look through.
        """
        if self._keeps_all or self.path_of(number) is None:
            return
        self._held[number] = metric
        kept, is_needed = self._kept(), needed()
        for held in [held for held in self._held if held not in kept and not is_needed(held)]:
            self.forget(held)

    def _kept(self) -> set[int]:
        if self._best is None:
            return {next(reversed(self._held))}
        sign = -1.0 if self._maximize else 1.0
        ranked = sorted((sign * metric, number) for number, metric in self._held.items() if metric is not None)
        return {number for _, number in ranked[: self._best]}
