"""Reads of what a tensor holds: `item()`, `int(x)`, `if mask.any():`.

What hangs on shapes and constants alone is computed and guarded. A number that hangs on data stays symbolic: it is read
again by the generated source, and nothing may be decided by it, except a check that only raises.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from graphnas.ir.source import running_code, surviving_outcome
from graphnas.ir.trace.replay import Known, Replay
from graphnas.ir.trace.standins import StandInNeededError, missing_stand_in
from graphnas.ir.trace.symbolic import Symbolic, TracedTraining, wrap

if TYPE_CHECKING:
    from graphnas.ir.trace.recorder import GraphRecorder

DATA_READS = frozenset(
    {"__bool__", "__int__", "__float__", "__complex__", "__index__", "is_nonzero", "item", "tolist", "numpy"}
)
"""Names of the functions of torch that return what a tensor holds."""

_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {"__int__": int, "__index__": operator.index, "__float__": float}


class DataReader:
    """Answers reads of data for a tracer.

    Attributes:
        dropped: Places of checks that are not part of the graph, in order.
    """

    def __init__(
        self, tracer: GraphRecorder, examples: Mapping[int, torch.Tensor], builtin: Collection[tuple[int, str]] = ()
    ) -> None:
        self.tracer = tracer
        self._builtin = builtin
        self.dropped: dict[str, None] = {}
        self._replay = Replay(tracer.calls, examples, tracer.root)

    def read(self, name: str, tensor: torch.Tensor) -> Any:
        """Return what a function out of `DATA_READS` gives.

        Raises:
            TraceError: It hangs on data, and has to be known.
            StandInNeededError: It could stay symbolic, if the builtin that wants it were replaced.
        """
        known = self._known(tensor)
        if name in ("__bool__", "is_nonzero"):
            if known is None or known.from_data:
                return self._checked(f"Tensor.{name}", None)
            return self._decided(bool(_scalar(known)), bool, tensor)
        if known is None or name in ("numpy", "__complex__"):
            raise self.tracer.data_dependent(f"Tensor.{name}")
        if name == "tolist":
            with unset_fake_temporarily():
                values = known.value.tolist()
            whole = Symbolic(self.tracer, values, "tolist", (tensor,))
            whole.from_data = known.from_data
            return self._items(whole)
        if name == "item":
            return self._number(known, "item", tensor)
        convert = _CONVERSIONS[name]
        if known.from_data:
            raise self._wanted_plain(f"Tensor.{name}", "float" if convert is float else "int")
        return self._decided(convert(_scalar(known)), convert, tensor)

    def converted(self, name: str, value: Any) -> Any:
        """Return what a stand-in gives; `NotImplemented` leaves it to the builtin."""
        with self.tracer.paused():
            if name == "len":
                return self.tracer.size_of(value)[0] if value.dim() else NotImplemented
            convert = int if name == "int" else float
            if isinstance(value, torch.Tensor):
                known = self._known(value)
                return NotImplemented if known is None else self._number(known, convert, value)
            if isinstance(value, TracedTraining) or type(value.value) not in (int, float):
                return NotImplemented
            return value if type(value.value) is convert else wrap(self.tracer, convert(value.value), convert, (value,))

    def decide(self, number: Symbolic, outcome: Any) -> None:
        """Take note that tracing goes on with `outcome` for a number that hangs on data.

        Raises:
            TraceError: It is more than a check.
            StandInNeededError: A plain number is wanted, and could stay symbolic.
        """
        what = "a number that was read from a tensor"
        if type(outcome) is bool:
            self._checked(what, outcome)
        else:
            raise self._wanted_plain(what, "float" if type(outcome) is float else "int")

    def needs_of(self, name: str) -> StandInNeededError | None:
        """Return what keeps a number symbolic where `name` asks for a plain one now, None if nothing does."""
        code = running_code()
        use = None if code is None else missing_stand_in(name, *code, self._builtin)
        return None if use is None else StandInNeededError(use)

    def _known(self, tensor: torch.Tensor) -> Known | None:
        scope = self.tracer.innermost
        return self._replay.known(self.tracer.node_of(tensor), scope)

    def _number(self, known: Known, function: Any, tensor: torch.Tensor) -> Any:
        value = _scalar(known)
        value = value if function == "item" else function(value)
        if type(value) not in (int, float):
            if known.from_data:
                raise self.tracer.data_dependent("Tensor.item")
            return self._decided(value, function, tensor)
        number = wrap(self.tracer, value, function, (tensor,))
        number.from_data = known.from_data
        return number

    def _items(self, whole: Symbolic) -> Any:
        if not isinstance(whole.value, list):
            return wrap(self.tracer, whole.value, "item", whole.args)
        items = []
        for index, value in enumerate(whole.value):
            part = Symbolic(self.tracer, value, operator.getitem, (whole, index))
            if isinstance(value, list):
                items.append(self._items(part))
            elif type(value) is bool:
                self.tracer.guard(part, value)
                items.append(value)
            else:
                items.append(wrap(self.tracer, value, operator.getitem, (whole, index)))
        return items

    def _decided(self, outcome: Any, function: Any, tensor: torch.Tensor) -> Any:
        self.tracer.guard(Symbolic(self.tracer, outcome, function, (tensor,)), outcome)
        return outcome

    def _checked(self, what: str, outcome: bool | None) -> bool:
        survives = surviving_outcome()
        if survives is None or (outcome is not None and outcome is not survives):
            raise self.tracer.data_dependent(what)
        self.dropped[self.tracer.location()] = None
        return survives

    def _wanted_plain(self, what: str, name: str) -> Exception:
        return self.needs_of(name) or self.tracer.data_dependent(what)


def _scalar(known: Known) -> Any:
    with unset_fake_temporarily():
        return known.value.item()
