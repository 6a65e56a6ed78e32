"""The state that a child starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphnas.errors import MutationError
from graphnas.ir.literal import Literal
from graphnas.ir.model import Model, Mutation
from graphnas.ir.state import StateTensor, state_of
from graphnas.mutators.inherit.steps import applied, resized


@dataclass(frozen=True)
class Inheritance:
    """What a child has of its parent.

    Attributes:
        state: Tensors by name in the `state_dict` of the child; what is `fresh` is not in it.
        copied: Names of the tensors that are those of the parent.
        changed: Names of those that were resized, copied from another one, or made by the history.
        fresh: Names of those that the parent gives nothing for: they stay as they are initialised.
        dropped: Names that the parent has and the child has not.
    """

    state: Mapping[str, Tensor]
    copied: tuple[str, ...]
    changed: tuple[str, ...]
    fresh: tuple[str, ...]
    dropped: tuple[str, ...]

    def load_into(self, module: nn.Module) -> None:
        """Load the state into a module of the child; what is fresh stays as it is.

        Raises:
            MutationError: The module lacks something of the state: it is of another model.
        """
        missing = [name for name in self.state if name not in module.state_dict()]
        if missing:
            raise MutationError(
                f"{type(module).__name__} has no {', '.join(missing[:3])}; it is no module of the child"
            )
        module.load_state_dict(dict(self.state), strict=False)

    def __str__(self) -> str:
        counts = ("copied", "changed", "fresh", "dropped")
        return ", ".join(f"{len(getattr(self, name))} {name}" for name in counts)


def inherit(
    parent_state: Mapping[str, Tensor], child: Model, *, parent: Model | None = None, noise: float = 0.0, seed: int = 0
) -> Inheritance:
    """Return the state that a child starts from: what matches is copied, what shrank is sliced, what grew is extended.

    Where the history knows how a tensor came about, it says so; then a function-preserving child computes what its
    parent computes. Otherwise names and shapes decide: the first channels are kept, and new ones repeat them.

    Args:
        parent_state: A `state_dict`; it is left as it is.
        child: The child.
        parent: The model that the state is of: the last one before the child by default, or an earlier one of its
            history.
        noise: Standard deviation, relative to that of the tensor, of what is added to repeated channels, so that they
            learn to differ; a small number such as 0.01, or the function stays exactly.
        seed: Seed of the noise.

    Raises:
        MutationError: The history does not start from `parent`, or the state is that of another model.
    """
    state: dict[str, Tensor] = {name: tensor.detach() for name, tensor in parent_state.items()}
    kinds = {name: tensor for name, tensor in state_of(child.root).items() if tensor.is_saved}
    touched: dict[str, None] = {}
    rng = torch.Generator().manual_seed(seed)
    for mutation in _mutations(child, parent):
        state = _next(state, mutation, kinds, touched, noise, rng)
    found: dict[str, Tensor] = {}
    for name, wanted in kinds.items():
        if name in state:
            tensor = state[name]
            fitted = _fitted(tensor, wanted.type.shape)
            if fitted is not tensor:
                touched[name] = None
            if fitted is not None:
                found[name] = fitted.to(wanted.type.dtype).clone()
    return Inheritance(
        found,
        copied=tuple(name for name in found if name not in touched),
        changed=tuple(name for name in found if name in touched),
        fresh=tuple(name for name in kinds if name not in found),
        dropped=tuple(name for name in parent_state if name not in kinds),
    )


def _mutations(child: Model, parent: Model | None) -> Sequence[Mutation]:
    if parent is None:
        return child.history[-1:]
    count = len(parent.history)
    rest = child.history[count:]
    if child.history[:count] != parent.history or (rest and rest[0].parent not in ("", parent.fingerprint)):
        raise MutationError(f"the history of {child.name} does not start from the parent that was given")
    return rest


def _next(
    state: Mapping[str, Tensor],
    mutation: Mutation,
    kinds: Mapping[str, StateTensor],
    touched: dict[str, None],
    noise: float,
    rng: torch.Generator,
) -> dict[str, Tensor]:
    """Return the state after one mutation."""
    found = dict(state)
    for name, steps in mutation.weights.items():
        wanted = kinds[name].type if name in kinds else None
        tensor = applied(steps, name, state, wanted)
        touched[name] = None
        if tensor is None:
            found.pop(name, None)
            continue
        if noise and tensor.is_floating_point() and _repeats(steps):
            scale = noise * float(tensor.std()) if tensor.numel() > 1 else 0.0
            tensor = tensor + scale * torch.randn(tensor.shape, generator=rng, dtype=tensor.dtype).to(tensor.device)
        found[name] = tensor
    return found


def _repeats(steps: Sequence[Literal]) -> bool:
    return any(step[0] == "resize" and any(new > old for old, new in step[3]) for step in steps)


def _fitted(tensor: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Return the first channels of a tensor along each axis, repeated where there are more; None for another rank."""
    if tuple(tensor.shape) == shape:
        return tensor
    if tensor.dim() != len(shape) or 0 in tensor.shape:
        return None
    for axis, (old, new) in enumerate(zip(tensor.shape, shape, strict=True)):
        if old != new:
            tensor = resized(tensor, axis, ((old, new),))
    return tensor
