"""Constraints: predicates over decisions that rule combinations out, and asking them before everything is decided.

A predicate is a plain function: `lambda d: d["width"] * d["depth"] <= 64`. It sees a value for every label; a choice
that does not come up has its default. It is asked early, while some labels are still open: reading one of these stops
it there, and it is asked again once that label is decided. So a combination is given up as soon as the labels that the
predicate has read rule it out, whatever the others are. It must be pure, and must not catch `BaseException`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphnas.errors import ConfigError
from graphnas.mutators.domain import Decision

Predicate: TypeAlias = Callable[[Mapping[str, Decision]], object]


class _StillOpen(BaseException):  # not an Exception, so that `except Exception` in a predicate lets it pass
    def __init__(self, label: str) -> None:
        self.label = label


@dataclass(frozen=True)
class Constraint:
    """A predicate, and its name in messages.

    Attributes:
        predicate: What must be true.
        name: `lambda d: ...` has only a place: `<lambda> at space.py:12`.
        is_dear: Whether asking it takes as long as making a model; then a search gives up earlier.
    """

    predicate: Predicate
    name: str
    is_dear: bool = False

    @classmethod
    def of(cls, predicate: object) -> Constraint:
        """Return the constraint of a predicate.

        Raises:
            ConfigError: It cannot be called.
        """
        if not callable(predicate) or isinstance(predicate, type):
            raise ConfigError(
                f"constraints: expected functions of the decisions, as in lambda d: d['width'] <= 64, got "
                f"{predicate!r:.100}",
                field="constraints",
            )
        code = getattr(predicate, "__code__", None)
        name = getattr(predicate, "__name__", None) or repr(predicate)
        return cls(predicate, name if code is None else f"{name} at {code.co_filename}:{code.co_firstlineno}")

    def ask(self, values: Mapping[str, Decision], labels: Mapping[str, Any]) -> bool | str:
        """Return whether it is true, or the label that has to be decided first.

        Args:
            values: Values by label, as far as they are known.
            labels: All labels, in order.

        Raises:
            ConfigError: The predicate failed.
        """
        still_open = next((label for label in labels if label not in values), None)
        try:
            return bool(self.predicate(dict(values) if still_open is None else _Partly(values, labels)))
        except _StillOpen as still:
            return still.label
        except Exception as error:
            if still_open is not None:  # it may do something with a whole dictionary that this one cannot
                return still_open
            raise ConfigError(
                f"constraints: {self.name} failed on {dict(values)}: {type(error).__name__}: {error}",
                field="constraints",
            ) from error


class _Partly(Mapping[str, Decision]):
    """Decisions of which some are still open."""

    def __init__(self, values: Mapping[str, Decision], labels: Mapping[str, Any]) -> None:
        self._values = values
        self._labels = labels

    def __getitem__(self, label: str) -> Decision:
        if label in self._values:
            return self._values[label]
        if label in self._labels:
            raise _StillOpen(label)
        raise KeyError(label)

    def __contains__(self, label: object) -> bool:
        return label in self._labels

    def __iter__(self) -> Iterator[str]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)
