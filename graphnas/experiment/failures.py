"""Whether a run in which no trial has completed is worth going on with."""

from __future__ import annotations

from graphnas.errors import EvaluationError
from graphnas.experiment.trial import Outcome, TrialStatus

_HOPELESS_TRIALS = 100


class Failures:
    """The failures of a run until the first trial completes; from then on it is forgotten and nothing is hopeless."""

    def __init__(self) -> None:
        self._first: Outcome | None = None
        self._kinds: set[tuple[str, str, str]] = set()
        self._count = 0
        self._has_success = False

    def add(self, outcome: Outcome) -> None:
        """Take note of how a trial ended for good."""
        if not outcome.status.is_failure:
            self.forget()
        elif not self._has_success:
            self._first = self._first or outcome
            self._kinds.add(outcome.failure_key)
            self._count += 1

    def forget(self) -> None:
        """Take note that a trial has completed."""
        self._has_success = True
        self._first = None

    def are_hopeless(self, concurrency: int) -> bool:
        """Whether the first trials all failed in the same way, or very many in any."""
        if self._first is None:
            return False
        # One refusal of a mutator says nothing about the next candidate; an error in the evaluator does.
        systematic = len(self._kinds) == 1 and self._first.status is not TrialStatus.INVALID
        return self._count >= (max(3, concurrency + 1) if systematic else max(_HOPELESS_TRIALS, concurrency + 1))

    def as_error(self) -> EvaluationError | None:
        """Return what a run ends with in which no trial completed and some failed."""
        if self._first is None:
            return None
        return EvaluationError(
            f"no trial has completed: {self._count} of {self._count} failed, the first as {self._first.status.value}: "
            f"{self._first.error}\n{self._first.traceback}".rstrip(),
            traceback=self._first.traceback,
        )
