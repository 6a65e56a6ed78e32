"""Mutators made of mutators: all of them in sequence, one of them, one of them several times.

A composed mutator is one mutation of the history. The choices of a part are named after it: `@stem/kernel/size`.
"""

from __future__ import annotations

from graphnas.errors import ConfigError
from graphnas.ir.rewrite import Rewriter
from graphnas.mutators.mutator import Mutator, by_label
from graphnas.mutators.numeric import IntRange


class AllOf(Mutator):
    """Applies mutators one after the other.

    Args:
        *mutators: The mutators, in order; each must have a label of its own.
        label: Name of the whole.

    Raises:
        ConfigError: There are none, one is no mutator, or two share a label.
    """

    def __init__(self, *mutators: Mutator, label: str | None = None) -> None:
        super().__init__(label)
        self.mutators = _checked(mutators)

    def mutate(self, model: Rewriter) -> None:
        for count, (name, mutator) in enumerate(self.mutators.items()):
            if count:
                model.verify()  # the next one looks at types
            self.delegate(mutator, model, name)


class OneOf(Mutator):
    """Applies one of several mutators; the choice `mutator` says which, by label.

    Args:
        *mutators: The mutators; each must have a label of its own.
        label: Name of the whole.

    Raises:
        ConfigError: There are none, one is no mutator, or two share a label.
    """

    def __init__(self, *mutators: Mutator, label: str | None = None) -> None:
        super().__init__(label)
        self.mutators = _checked(mutators)

    def mutate(self, model: Rewriter) -> None:
        chosen = self.choice(tuple(self.mutators), "mutator")
        self.delegate(self.mutators[chosen], model, chosen)


class AtMost(Mutator):
    """Applies a mutator several times, each time to what the last one left; the choice `times` says how often.

    To edit several places of one model at once, give a mutator `sites=3` instead.

    Args:
        most: How often at most.
        mutator: The mutator.
        least: How often at least.
        label: Name of the whole.

    Raises:
        ConfigError: The numbers make no range.
    """

    def __init__(self, most: int, mutator: Mutator, *, least: int = 1, label: str | None = None) -> None:
        super().__init__(label)
        if not 0 <= least <= most or most < 1:
            raise ConfigError(
                f"most: expected a number from 1 that is not below least={least}, got {most}", field="most"
            )
        self.most, self.least = most, least
        ((self.name, self.mutator),) = _checked((mutator,)).items()

    def mutate(self, model: Rewriter) -> None:
        for count in range(self.choice(IntRange("times", self.least, self.most))):
            if count:
                model.verify()
            self.delegate(self.mutator, model, f"{self.name}/{count + 1}")


def _checked(mutators: tuple[Mutator, ...]) -> dict[str, Mutator]:
    def refusal(_: Mutator, second: Mutator) -> ConfigError:
        return ConfigError(
            f"mutators: two of them share the label {second.label!r}; give one another: "
            f"{type(second).__name__}(..., label='...')",
            field="mutators",
        )

    found = by_label(mutators, refusal)
    if not found:
        raise ConfigError("mutators: expected at least one", field="mutators")
    return found
