"""What the predecessor's old one-shot trainers have in common."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class OneShotTrainer(Protocol):
    """Searches by itself, in one training."""

    def fit(self) -> None:
        """Search."""

    def export(self) -> Any:
        """Return the decisions of the best model, label to value."""
