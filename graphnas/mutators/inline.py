"""The inline part of a space: what the choices in a constructor are, and the traced model of decisions on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from graphnas.errors import ConfigError
from graphnas.ir.literal import FrozenDict, freeze
from graphnas.ir.lru import LRU
from graphnas.ir.model import Model, Mutation
from graphnas.ir.trace import trace
from graphnas.mutators.choices.choice import Collector, Nature
from graphnas.mutators.choices.fixed import Fixation
from graphnas.mutators.construct import Construction
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Decision, Decisions
from graphnas.mutators.supermodel import GraphEngine
from graphnas.mutators.table import places_of

INLINE = "InlineChoices"
"""Name under which a history holds the decisions of inline choices."""

_REMEMBERED = 64


class InlinePart:
    """A construction with choices in it, or a model that has none.

    Attributes:
        construction: Class and arguments; None where the space starts from a model.
        model: That model.
        example_inputs: Arguments of `forward`, needed to trace.
    """

    def __init__(
        self, construction: Construction | None, model: Model | None, example_inputs: tuple[Any, ...] | None
    ) -> None:
        self.construction = construction
        self.model = model
        self.example_inputs = example_inputs
        self._space: DecisionSpace | None = None
        self._engine: GraphEngine | None = None
        self._traced: LRU[Model] = LRU(_REMEMBERED)

    @property
    def space(self) -> DecisionSpace:
        """Domains and conditions, in the order of their construction."""
        if self._space is None:
            with Collector() as collector:
                if self.construction is not None:
                    self.construction.run_aside(None, shapes_only=True)
            self._space = DecisionSpace(collector.domains, collector.conditions, tuple(collector.constraints.values()))
            self._engine = GraphEngine(self._trace, collector.natures)
        return self._space

    def places(self) -> dict[str, tuple[str, ...]]:
        """Return where each choice stands in the open model."""
        if self.construction is None:
            return {}
        return places_of(self.construction.run_aside(None, shapes_only=True))

    @property
    def past(self) -> int:
        """Length of the history that the models of the space have in common."""
        return len(self.model.history) if self.model is not None else 0

    def construct(self, decisions: Mapping[str, Decision]) -> nn.Module:
        """Return a freshly initialised module of decisions that fit."""
        assert self.construction is not None, "asked only where there is one"
        return self.construction.run(Fixation(decisions))

    def freeze(self, decisions: Decisions) -> Model:
        """Return the verified model of decisions that fit, with these as its history.

        Raises:
            ConfigError: There are no example inputs.
            TraceError: The decided module cannot be traced.
        """
        if self.construction is None:
            assert self.model is not None
            return self.model
        if self.example_inputs is None:
            raise ConfigError(
                "example_inputs: the graph of a module is traced, which needs them: ModelSpace(base, mutators, "
                "example_inputs=(torch.zeros(2, 3, 32, 32),)) with the shapes of your model",
                field="example_inputs",
            )
        key = str(decisions)
        model = self._traced.get(key)
        if model is None:
            space = self.space
            assert self._engine is not None, "made with the space"
            values = {label: decisions.get(label, domain.default) for label, domain in space.items()}
            model = self._engine.model(decisions, values)
            if decisions:
                chosen: FrozenDict[Any] = FrozenDict((label, freeze(value)) for label, value in decisions.items())
                edits = tuple(f"Decided {label} to be {value!r}." for label, value in decisions.items())
                model = replace(model, history=(Mutation(INLINE, "", tuple(decisions), chosen, edits, ""),))
            self._traced.put(key, model)
        return model

    def _trace(self, decisions: Mapping[str, Decision], natures: tuple[Nature, ...]) -> Model:
        assert self.construction is not None, "checked by `freeze`"
        assert self.example_inputs is not None, "checked by `freeze`"
        return trace(
            self.construction.run_to_trace(Fixation(decisions, natures), self.example_inputs), self.example_inputs
        )
