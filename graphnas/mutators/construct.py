"""Constructing a model again from what was recorded of it: class and constructor arguments, never weights."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from graphnas.errors import DecisionError
from graphnas.ir.record import Record, is_model_wrapped, recording
from graphnas.mutators.choices.again import constructed_again
from graphnas.mutators.choices.edits import Edit, Key, edits_in_force
from graphnas.mutators.choices.fixed import Fixation, in_force
from graphnas.mutators.choices.layer_choice import edits_of
from graphnas.mutators.choices.mutable import Mutable


@dataclass(frozen=True)
class Construction:
    """A class and its arguments.

    Attributes:
        cls: The class.
        args: Positional arguments; choices among them are decided at each construction.
        kwargs: Keyword arguments.
        edits: What was changed on layer choices after the construction.
    """

    cls: type[nn.Module]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    edits: Mapping[Key, Edit] = field(default_factory=dict)

    @classmethod
    def of(cls, module: nn.Module, record: Record) -> Construction:
        """Return the construction of a module, and the edits that were made on its choices since.

        Raises:
            DecisionError: Copies of one choice were edited differently.
        """
        return cls(record.cls, record.args, dict(record.kwargs), edits_of(module))

    def run(self, fixation: Fixation | None) -> nn.Module:
        """Return a freshly constructed module, under decisions or with every choice open.

        Raises:
            DecisionError: Decisions do not fit, or a choice stays open although there are decisions for all.
        """
        with in_force(fixation), edits_in_force(self.edits):
            if is_model_wrapped(self.cls):  # it records itself, and numbers its labels from 1
                with recording() if self.args or self.kwargs else nullcontext():
                    args, kwargs = self._arguments_again()
                module = self.cls(*args, **kwargs)
            else:
                with recording():
                    args, kwargs = self._arguments_again()
                    module = self.cls(*args, **kwargs)
        if fixation is not None and fixation.decides_all:
            _check_decided(module)
        return module

    def _arguments_again(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments anew; choices among them were made outside, and are noted before it starts."""
        args = tuple(map(constructed_again, self.args))
        return args, {name: constructed_again(argument) for name, argument in self.kwargs.items()}

    def run_to_trace(self, fixation: Fixation, inputs: tuple[Any, ...]) -> nn.Module:
        """Return a module as `run_aside` does, in which lazy modules have got their shapes from a call on `inputs`."""
        module = self.run_aside(fixation)
        if any(map(is_lazy, (*module.parameters(), *module.buffers()))):
            modes = [(part, part.training) for part in module.modules()]
            with torch.random.fork_rng(devices=[]), recording(), torch.no_grad():
                module.eval()(*inputs)
            for part, training in modes:
                part.training = training
        return module

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


def _check_decided(module: nn.Module) -> None:
    for path, part in module.named_modules():
        if isinstance(part, Mutable) and part.is_open:
            raise DecisionError(
                f"{type(part).__name__} at {path!r} stays open under every decision: it was constructed before the "
                "model, in a module whose construction was not recorded; construct that module inside "
                "`with graphnas.recording():`, or in the constructor of the model"
            )
