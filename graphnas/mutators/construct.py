"""Constructing a model again from what was recorded of it: class and constructor arguments, never weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from graphnas.ir.protocols import Resolvable
from graphnas.ir.record import Record, is_model_wrapped, record_of, recording
from graphnas.mutators.choices.fixed import Fixation, in_force


@dataclass(frozen=True)
class Construction:
    """A class and its arguments.

    Attributes:
        cls: The class.
        args: Positional arguments; choices among them are decided at each construction.
        kwargs: Keyword arguments.
    """

    cls: type[nn.Module]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @classmethod
    def of(cls, record: Record) -> Construction:
        """Return the construction that a record tells of."""
        return cls(record.cls, record.args, dict(record.kwargs))

    def run(self, fixation: Fixation | None) -> nn.Module:
        """Return a freshly constructed module, under decisions or with every choice open."""
        with in_force(fixation), nullcontext() if is_model_wrapped(self.cls) else recording():
            # Choices among the arguments were made outside: read, and noted, before the constructor starts.
            decided = fixation is not None
            args = tuple(_again(argument, decided) for argument in self.args)
            kwargs = {name: _again(argument, decided) for name, argument in self.kwargs.items()}
            return self.cls(*args, **kwargs)

    def run_aside(self, fixation: Fixation | None, *, shapes_only: bool = False) -> nn.Module:
        """Return a module that is only looked at: random state is as it was before.

        Args:
            fixation: Decisions, None for open choices.
            shapes_only: Construct on the meta device, unless the constructor reads the values of tensors.
        """
        with torch.random.fork_rng(devices=[]):
            if shapes_only:
                try:
                    with torch.device("meta"):
                        return self.run(fixation)
                except (NotImplementedError, RuntimeError):
                    pass
            return self.run(fixation)


def _again(argument: Any, decided: bool) -> Any:
    if isinstance(argument, nn.Module):
        record = record_of(argument)
        if record is None:
            return copy.deepcopy(argument)
        return record.cls(
            *(_again(item, decided) for item in record.args),
            **{name: _again(item, decided) for name, item in record.kwargs.items()},
        )
    if isinstance(argument, Resolvable) and not isinstance(argument, type):
        value = argument.__graphnas_resolve__()
        return value if decided else argument
    if type(argument) in (tuple, list):
        return type(argument)(_again(item, decided) for item in argument)
    return argument
