"""Trials that would train the same: by which they are known, and whose result another one may take over.

Equal are candidates whose models have one fingerprint, with the same decisions on the evaluator and the same budget.
Only completed and running trials count: of one that failed there is nothing to take over.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphnas.errors import GraphNASError, MutationError, VerificationError
from graphnas.experiment.engines import Candidate, Space, of_model
from graphnas.experiment.store import Reader
from graphnas.experiment.strategies.base import decisions_key
from graphnas.experiment.trial import Outcome, Trial, TrialStatus

logger = logging.getLogger("graphnas")


@dataclass(frozen=True)
class Equal:
    """A trial to which another one is equal.

    Attributes:
        number: Its number.
        outcome: Its result; None while it is running.
        experiment: Id of its experiment; None for this one.
    """

    number: int
    outcome: Outcome | None = None
    experiment: str | None = None


class EqualTrials:
    """Finds to which trial a candidate is equal, in this experiment and in earlier ones.

    Args:
        store: Of this experiment.
        space: Says which model decisions lead to, where the engine does not.
        earlier: Stores of earlier experiments; those with another evaluator are passed over.
    """

    def __init__(self, store: Reader, space: Space, earlier: Sequence[Reader] = ()) -> None:
        self._store = store
        self._space = space
        evaluator = store.describe().evaluator if earlier else None
        self._earlier: list[tuple[str, Reader]] = []
        for reader in earlier:
            description = reader.describe()
            if evaluator is None or description.evaluator != evaluator:
                reason = "it has another evaluator, or one of the two has no form in the store to be compared by"
            elif not reader.has_keys():
                reason = "it was run without Deduplication, so that nothing is known of its architectures"
            else:
                self._earlier.append((description.id, reader))
                continue
            logger.warning("experiment %s: its results are not reused: %s", description.id, reason)
        self._running: dict[str, int] = {}
        self._has_warned = False

    def key_of(self, candidate: Candidate, budget: float | None, *, is_needed: bool) -> str | None:
        """Return what is the same text for equal candidates; None where it would have to be computed for nobody."""
        fingerprint = candidate.fingerprint
        if fingerprint is None and is_needed:
            fingerprint = self._fingerprint(candidate.decisions)
        if fingerprint is None:
            return None
        model = of_model(candidate.decisions)
        rest = {label: value for label, value in candidate.decisions.items() if label not in model}
        text = f"{fingerprint}\n{decisions_key(rest)}\n{budget}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def find(self, key: str) -> Equal | None:
        """Return a trial with this key that has completed or is running."""
        for name, reader in ((None, self._store), *self._earlier):
            trial = reader.completed_with_key(key)
            if trial is not None:
                return Equal(trial.number, _result_of(trial, reader), name)
        number = self._running.get(key)
        return None if number is None else Equal(number)

    def begin(self, key: str | None, number: int) -> None:
        """Take note that a trial with this key is running."""
        if key is not None:
            self._running.setdefault(key, number)

    def end(self, key: str | None, number: int) -> None:
        """Take note that it no longer is."""
        if key is not None and self._running.get(key) == number:
            del self._running[key]

    def _fingerprint(self, decisions: Mapping[str, Any]) -> str:
        """Return the fingerprint of the model; where there is no graph, what stands for the decisions alone."""
        try:
            return str(self._space.freeze(decisions).fingerprint)
        except (MutationError, VerificationError):
            pass  # there is no such model, which its worker will say
        except (GraphNASError, NotImplementedError) as error:
            if not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "architectures cannot be compared, so that only candidates with the same decisions count as equal: "
                    "%s",
                    error,
                )
        return f"decisions {decisions_key(of_model(decisions))}"


def _result_of(trial: Trial, reader: Reader) -> Outcome:
    metric = trial.metrics if trial.metrics is not None else trial.metric
    return Outcome(TrialStatus.COMPLETED, metric, tuple(reader.intermediate(trial.number)))
