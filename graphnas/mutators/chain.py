"""The mutators of a space, applied one after the other: what comes up on the way, and every way that there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphnas.errors import GraphNASError, MutationError, VerificationError
from graphnas.ir.model import Model
from graphnas.mutators.domain import Decision, Decisions, Domain
from graphnas.mutators.mutator import Mutator, Sampler, by_label


@dataclass(frozen=True)
class Run:
    """One application of all mutators: the domains that came up, what was decided, and the model that this made."""

    domains: dict[str, Domain]
    decisions: Decisions
    model: Model


def run(mutators: Sequence[Mutator], model: Model, sampler: Sampler) -> Run:
    """Apply mutators, their choices made by `sampler`.

    Raises:
        MutationError: A mutator refused, or failed.
        VerificationError: An edited model breaks an invariant.
    """
    domains: dict[str, Domain] = {}
    before = len(model.history)
    for mutator in mutators:
        found, model = mutator.run(model, sampler)
        domains.update(found)
    return Run(domains, decisions_in(model.history[before:]), model)


def is_refusal(error: GraphNASError) -> bool:
    """Tell whether an error says that decisions make no model, and not that the code of a mutator is broken."""
    cause = error.__cause__
    return isinstance(error, (MutationError, VerificationError)) and (cause is None or isinstance(cause, GraphNASError))


def runs(mutators: Sequence[Mutator], model: Model, steps: int | None) -> Iterator[Run | None]:
    """Yield a run for each way to decide the choices as they come up, None for one that was refused.

    The last choice varies fastest. `steps` values, one if it is None, stand for a continuous domain.
    """
    odometer: _Odometer | None = _Odometer([], steps)
    while odometer is not None:
        try:
            yield run(mutators, model, odometer)
        except (MutationError, VerificationError) as error:
            if not is_refusal(error):
                raise
            yield None
        odometer = odometer.next()


class _Odometer:
    """Decides the first choices as on a given path, later ones by their first value, and notes them all."""

    def __init__(self, path: list[int], steps: int | None) -> None:
        self._path = path
        self._steps = steps
        self._taken: list[tuple[int, int]] = []

    def choose(self, domain: Domain) -> Decision:
        values = domain.grid(self._steps or 1)
        place = self._path[len(self._taken)] if len(self._taken) < len(self._path) else 0
        self._taken.append((place, len(values)))
        return values[place]

    def next(self) -> _Odometer | None:
        taken = list(self._taken)
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return None
        return _Odometer([*(place for place, _ in taken[:-1]), taken[-1][0] + 1], self._steps)


def checked_mutators(mutators: Any) -> tuple[Mutator, ...]:
    """Return the mutators of a space.

    Raises:
        ConfigError: Something among them is none.
        MutationError: Two share a label.
    """

    def refusal(first: Mutator, second: Mutator) -> MutationError:
        return MutationError(
            f"two mutators of the space share the label {second.label!r} ({type(first).__name__} and "
            f"{type(second).__name__}); give one of them another: {type(second).__name__}(label='...')"
        )

    return tuple(by_label(mutators, refusal).values())


def decisions_in(history: Sequence[Any]) -> Decisions:
    """Return what was decided in the course of a history, in its shortest replayable form."""
    return {label: plain(value) for mutation in history for label, value in mutation.decisions.items()}


def plain(value: Any) -> Decision:
    """Return a decision of a history, which keeps lists frozen, as JSON has it."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value
