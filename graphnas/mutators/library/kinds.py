"""Another activation or normalisation for the one that stands there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn

from graphnas.errors import ConfigError, MutationError
from graphnas.ir.graph import Operation
from graphnas.ir.literal import FrozenDict
from graphnas.ir.module import ModuleSpec
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.ir.trace.leaf import spec_of
from graphnas.ir.types import TensorType
from graphnas.mutators.canonical import ACTIVATIONS, activation_of
from graphnas.mutators.in_place import protect
from graphnas.mutators.library.modules import Where, leaf_of
from graphnas.mutators.sited import SiteMutator, Sites, leaf_sites, own_sites


class ChangeActivation(SiteMutator[Site]):
    """Replaces activations, called as a module, a function or a method; the choice is `to`.

    Where one module is called several times, only the call at the site changes.

    Args:
        to: What to choose from, by the name of the function in `torch.nn.functional`.
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count.
        label: Name of the mutator.

    Raises:
        ConfigError: There is no such activation.
    """

    def __init__(
        self,
        to: Sequence[str] = ("relu", "gelu", "silu", "hardswish"),
        *,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        self.to = checked_names(to, tuple(ACTIVATIONS.values()), "to")

    def find(self, model: Rewriter) -> Iterable[Site]:
        return (site for site in own_sites(model) if activation_of(site.node.operation, site.spec))

    def edit(self, model: Rewriter, place: Site) -> None:
        to = self.choice(self.to, "to")
        if to == activation_of(place.node.operation, place.spec):
            return
        if place.spec is not None:
            kind = next(kind for kind, function in ACTIVATIONS.items() if function == to)
            model.replace_operation(place, ModuleSpec(f"torch.nn:{kind}"))
            protect(model, place.path, place.node.value)
            return
        values = place.node.args[:1] or (place.node.kwargs["input"],)
        operation = Operation("function", f"torch.nn.functional:{to}")
        model.replace_operation(place, operation, args=values, kwargs={})
        protect(model, place.path, place.node.value)

    def wanted(self) -> str:
        return "an activation without parameters"


_Maker = Callable[[int, int], nn.Module]
_MAKERS: FrozenDict[_Maker] = FrozenDict(
    {
        "batch": lambda channels, rank: (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[rank - 1](channels),
        "instance": lambda channels, rank: (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[rank - 1](
            channels, affine=True
        ),
        "group": lambda channels, rank: nn.GroupNorm(_groups(channels), channels),
        "layer": lambda channels, rank: nn.GroupNorm(1, channels),
        "none": lambda channels, rank: nn.Identity(),
    }
)
_OF_LAST: FrozenDict[Callable[[Any], nn.Module]] = FrozenDict(
    {
        "layer": lambda shape: nn.LayerNorm(shape),
        "rms": lambda shape: nn.RMSNorm(shape),
        "none": lambda shape: nn.Identity(),
    }
)
_CHANNELS_FIRST = (*(f"{kind}Norm{rank}d" for kind in ("Batch", "Instance") for rank in (1, 2, 3)), "GroupNorm")


class ChangeNormalisation(SiteMutator[Site]):
    """Replaces normalisations by others of as many channels; the choice is `to`.

    Over channels `(N, C, ...)` there are `batch`, `instance`, `group` (32 groups, or the largest divisor of the
    channels below) and `layer` (one group); over the last dimensions `(..., C)` there are `layer` and `rms`. Both know
    `none`, an Identity. What is not known where it is chosen is refused.

    Args:
        to: What to choose from.
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count.
        label: Name of the mutator.

    Raises:
        ConfigError: There is no such normalisation.
    """

    def __init__(
        self,
        to: Sequence[str] = ("batch", "group", "layer"),
        *,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        self.to = checked_names(to, tuple({**_MAKERS, **_OF_LAST}), "to")

    def find(self, model: Rewriter) -> Iterable[Site]:
        return leaf_sites(model, *_CHANNELS_FIRST, "LayerNorm", "RMSNorm")

    def edit(self, model: Rewriter, place: Site) -> None:
        to = self.choice(self.to, "to")
        old: Any = leaf_of(place)
        if place.type in _CHANNELS_FIRST:
            made = self._over_channels(place, to, old)
        elif to in _OF_LAST:
            made = _OF_LAST[to](old.normalized_shape)
        else:
            raise self._unfit(place, to, _OF_LAST)
        spec = spec_of(made, place.module_path)
        if (spec.type, str(made)) != (place.type, str(old)):
            model.set_module(place.module_path, spec)

    def wanted(self) -> str:
        return "a normalisation"

    def _over_channels(self, place: Site, to: str, old: Any) -> nn.Module:
        channels = old.num_channels if isinstance(old, nn.GroupNorm) else old.num_features
        type = place.node.type
        rank = len(type.shape) - 2 if isinstance(type, TensorType) else -1
        if to not in _MAKERS or (to in ("batch", "instance") and rank > 3) or rank < 0:
            raise self._unfit(place, to, _MAKERS)
        if rank == 0 and to == "instance":
            raise MutationError(f"{place.name}: there is nothing to normalise over in {type}", site=place.name)
        return _MAKERS[to](channels, max(rank, 1))

    def _unfit(self, place: Site, to: str, known: Iterable[str]) -> MutationError:
        return MutationError(
            f"{place.name}: {place.type} on {place.node.type} cannot become {to!r}; choose of {', '.join(known)}",
            site=place.name,
        )


def _groups(channels: int) -> int:
    return next(count for count in range(min(32, channels), 0, -1) if channels % count == 0)


def checked_names(names: Sequence[str], known: Sequence[str], field: str) -> tuple[str, ...]:
    """Return names that are known.

    Raises:
        ConfigError: There are none, or one is not.
    """
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = repr(unknown[0]) if unknown else "none"
        raise ConfigError(f"{field}: expected names out of {', '.join(known)}; got {what}", field=field)
    return tuple(names)
