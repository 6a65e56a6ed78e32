"""The base of choices that are modules: what they are while they are open, and once they are decided."""

from __future__ import annotations

from typing import Any

from torch import nn

from graphnas.ir.context import ContextStack, ModelNamespace, NoContextError
from graphnas.ir.record import Record
from graphnas.mutators.choices.choice import Nature
from graphnas.mutators.choices.fixed import declare_and_decide, fixation_of
from graphnas.mutators.choices.when import When, condition_of
from graphnas.mutators.domain import Decision, Domain


class Mutable(nn.Module):
    """A module to be decided: constructing one gives the decided module where decisions are in force, else itself.

    Subclass it for a choice of your own. `create_fixed_module` takes the arguments of the constructor and returns what
    they come to under the decisions; `decide` asks for one, and raises where the choice is open, which is the sign to
    construct the open module instead.

    >>> from graphnas.mutators import Categorical, fixed_arch
    >>> class Activation(Mutable):
    ...     def __init__(self, label):
    ...         super().__init__()
    ...     @classmethod
    ...     def create_fixed_module(cls, label):
    ...         return getattr(nn, cls.decide(Categorical(label, ("ReLU", "GELU"))))()
    ...     def forward(self, x):
    ...         return x.relu()
    >>> with fixed_arch({"act": "GELU"}):
    ...     Activation("act")
    GELU(approximate='none')
    >>> Activation("act")
    Activation()
    """

    arguments: Record
    """What the constructor of an open choice was given."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        namespace: ModelNamespace | None = ContextStack.get(ModelNamespace.KEY)
        taken = namespace.count if namespace is not None else 0
        try:
            return cls.create_fixed_module(*args, **kwargs)
        except NoContextError:
            if namespace is not None:
                namespace.count = taken  # what `create_fixed_module` was given, the constructor is given again
        module = super().__new__(cls)
        vars(module)["arguments"] = Record(cls, args, kwargs)
        return module

    @property
    def is_open(self) -> bool:
        """Whether this is the open module, and not one that `create_fixed_module` made."""
        return "arguments" in vars(self)

    @classmethod
    def create_fixed_module(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the module that the decisions in force make of the arguments of the constructor.

        Raises:
            NoContextError: No decisions are in force, so the choice stays open.
            DecisionError: The decisions do not fit.
        """
        raise NoContextError(f"{cls.__name__} has no create_fixed_module, so it is never decided")

    @classmethod
    def decide(cls, domain: Domain, when: When | None = None, *, nature: Nature = "value") -> Decision:
        """Return the decision for a domain; the choice is known to the space from then on.

        Args:
            domain: What can be decided.
            when: The condition under which it comes up at all.
            nature: `structure` if the choice selects among modules that are there while it is open, and says so in
                `__graphnas_expand__`.

        Raises:
            NoContextError: The choice is open.
            DecisionError: The decision is missing or not allowed, or the label stands for another choice already.
        """
        is_decided, decision = declare_and_decide(domain, nature, condition_of(when, domain.label))
        if not is_decided:
            raise NoContextError(f"{cls.__name__} {domain.label!r} is open: no decisions are in force")
        return decision

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # A copy must not be constructed anew: it would be decided under `fixed_arch`, and take another label.
        return _restore, (type(self),), self.__dict__


def require_decisions(nature: Nature) -> None:
    """Raise `NoContextError` where choices of that nature are open."""
    if fixation_of(nature) is None:
        raise NoContextError("no decisions are in force")


def _restore(kind: type[Mutable]) -> Mutable:
    return nn.Module.__new__(kind)
