"""Changes of what a convolution is: kernel, stride, groups; two convolutions for one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn

from graphnas.errors import ConfigError, MutationError
from graphnas.ir.infer import leaf_module
from graphnas.ir.module import ModuleSpec
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.mutators.patterns import Match, Replace
from graphnas.mutators.sited import SiteMutator, Sites, leaf_sites

Where = Callable[[Site], bool]

CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d")
_TRANSPOSED = ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")


class ChangeKernel(SiteMutator[Site]):
    """Changes the kernel size of convolutions; padding changes with it, so that sizes stay as they are.

    The choice is `size`. Dimensions of size 1 beside larger ones (a kernel of 1 x 7) stay 1.

    Args:
        sizes: What to choose from. Sizes that differ by an odd number from the one that a convolution has are refused
            there, since no padding makes up for them; so are those that would need a negative one.
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count.
        label: Name of the mutator.

    Raises:
        ConfigError: A size is no whole number from 1.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (1, 3, 5, 7),
        *,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        self.sizes = checked_numbers(sizes, "sizes")

    def find(self, model: Rewriter) -> Iterable[Site]:
        return leaf_sites(model, *CONVOLUTIONS, *_TRANSPOSED)

    def edit(self, model: Rewriter, place: Site) -> None:
        size = self.choice(self.sizes, "size")
        old: Any = leaf_of(place)
        kernel = tuple(size if item > 1 or max(old.kernel_size) == 1 else 1 for item in old.kernel_size)
        if kernel == old.kernel_size:
            return
        arguments: dict[str, object] = {"kernel_size": short(kernel)}
        if not isinstance(old.padding, str):
            padding = []
            for before, after, pad, dilation in zip(old.kernel_size, kernel, old.padding, old.dilation, strict=True):
                more = dilation * (after - before)
                if more % 2 or pad + more // 2 < 0:
                    raise MutationError(
                        f"{place.name}: a kernel of {after} instead of {before} (padding {pad}, dilation {dilation}) "
                        "changes the size of the result, and no padding makes up for it",
                        site=place.name,
                    )
                padding.append(pad + more // 2)
            arguments["padding"] = short(tuple(padding))
        model.update_module(place.module_path, **arguments)

    def wanted(self) -> str:
        return "a convolution"


class ChangeStride(SiteMutator[Site]):
    """Changes the stride of convolutions and pools; the choice is `stride`.

    Sizes behind it change. Where something depends on them, such as a residual connection or a Linear behind a flatten,
    the edit is refused when it is frozen.

    Args:
        strides: What to choose from.
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count.
        label: Name of the mutator.

    Raises:
        ConfigError: A stride is no whole number from 1.
    """

    def __init__(
        self,
        strides: Sequence[int] = (1, 2),
        *,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        self.strides = checked_numbers(strides, "strides")

    def find(self, model: Rewriter) -> Iterable[Site]:
        pools = [f"{kind}Pool{rank}d" for kind in ("Max", "Avg", "LP") for rank in (1, 2, 3)]
        return leaf_sites(model, *CONVOLUTIONS, *_TRANSPOSED, *pools)

    def edit(self, model: Rewriter, place: Site) -> None:
        stride = self.choice(self.strides, "stride")
        old: Any = leaf_of(place)
        if stride != 1 and old.__dict__.get("padding") == "same":
            raise MutationError(
                f"{place.name}: a convolution with padding='same' has stride 1; give it a number as padding first",
                site=place.name,
            )
        model.update_module(place.module_path, stride=stride)

    def wanted(self) -> str:
        return "a convolution or a pool"


class ChangeGroups(SiteMutator[Site]):
    """Changes into how many groups of channels a convolution is split; the choice is `groups`.

    Args:
        groups: What to choose from. A number that does not divide the channels of a convolution is refused there.
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count.
        label: Name of the mutator.

    Raises:
        ConfigError: A number of groups is no whole number from 1.
    """

    def __init__(
        self,
        groups: Sequence[int] = (1, 2, 4),
        *,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        self.groups = checked_numbers(groups, "groups")

    def find(self, model: Rewriter) -> Iterable[Site]:
        return leaf_sites(model, *CONVOLUTIONS, *_TRANSPOSED)

    def edit(self, model: Rewriter, place: Site) -> None:
        groups = self.choice(self.groups, "groups")
        old: Any = leaf_of(place)
        for what, channels in (("input", old.in_channels), ("output", old.out_channels)):
            if channels % groups:
                raise MutationError(
                    f"{place.name}: {channels} {what} channels cannot be split into {groups} groups; choose a divisor",
                    site=place.name,
                )
        model.update_module(place.module_path, groups=groups)

    def wanted(self) -> str:
        return "a convolution"


class SeparateConvolution(Replace):
    """Replaces a convolution by a depthwise and a pointwise one (Howard et al. 2017, arXiv 1704.04861).

    Args:
        sites: How the places are decided, see `SiteMutator`.
        where: Which matches count; `match["old"]` is the convolution. By default those with a kernel larger than 1 that
            are not split into groups.
        label: Name of the mutator.
    """

    def __init__(
        self, *, sites: Sites = "one", where: Callable[[Match], bool] | None = None, label: str | None = None
    ) -> None:
        classes = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
        super().__init__(classes, _separated, sites=sites, where=where, label=label)

    def find(self, model: Rewriter) -> Iterable[Match]:
        for match in super().find(model):
            old = match["old"]
            if old.groups == 1 and max(old.kernel_size) > 1 and old.in_channels > 1:
                yield match

    def wanted(self) -> str:
        return "a convolution with a kernel larger than 1 and one group"


def _separated(old: Any) -> nn.Module:
    kind = type(old)
    depthwise = kind(
        old.in_channels,
        old.in_channels,
        old.kernel_size,
        stride=old.stride,
        padding=old.padding,
        dilation=old.dilation,
        groups=old.in_channels,
        bias=False,
        padding_mode=old.padding_mode,
    )
    return nn.Sequential(depthwise, kind(old.in_channels, old.out_channels, 1, bias=old.bias is not None))


class FactorizeLinear(Replace):
    """Replaces a Linear by two of a low rank between them; the choice is `rank`.

    Args:
        ranks: What to choose from: whole numbers, or shares of the smaller side, such as 0.25. A rank that is not below
            the smaller side is refused there.
        sites: How the places are decided, see `SiteMutator`.
        where: Which matches count; `match["old"]` is the Linear.
        label: Name of the mutator.

    Raises:
        ConfigError: A rank is neither a whole number from 1 nor a share between 0 and 1.
    """

    def __init__(
        self,
        ranks: Sequence[int | float] = (0.25, 0.5),
        *,
        sites: Sites = "one",
        where: Callable[[Match], bool] | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(nn.Linear, _same, sites=sites, where=where, label=label)
        for rank in ranks:
            whole = type(rank) is int and rank >= 1
            if not whole and not (type(rank) is float and 0 < rank < 1):
                raise ConfigError(
                    f"ranks: expected whole numbers from 1 or shares between 0 and 1, got {rank!r}", field="ranks"
                )
        self.ranks = tuple(ranks)

    def edit(self, model: Rewriter, place: Match) -> None:
        chosen = self.choice(self.ranks, "rank")
        old = place["old"]
        least = min(old.in_features, old.out_features)
        rank = max(1, round(chosen * least)) if isinstance(chosen, float) else chosen
        if rank >= least:
            raise MutationError(
                f"{place.name}: a rank of {rank} is no less than Linear({old.in_features}, {old.out_features}) has",
                site=place.name,
            )
        self.swap(
            model,
            place,
            lambda: nn.Sequential(
                nn.Linear(old.in_features, rank, bias=False),
                nn.Linear(rank, old.out_features, bias=old.bias is not None),
            ),
        )


def _same(old: Any) -> nn.Module:
    raise AssertionError("a Linear is factorised by `edit`")


def leaf_of(site: Site) -> nn.Module:
    """Return the module that a site calls, a leaf, its tensors without data."""
    assert isinstance(site.spec, ModuleSpec), "found as the call of a leaf"
    return leaf_module(site.spec)


def short(sizes: tuple[int, ...]) -> int | tuple[int, ...]:
    """Return one number for sizes that are all the same, as people write it."""
    return sizes[0] if len(set(sizes)) == 1 else sizes


def checked_numbers(numbers: Sequence[int], field: str) -> tuple[int, ...]:
    """Return whole numbers from 1.

    Raises:
        ConfigError: There are none, or one is not.
    """
    if not numbers or not all(type(number) is int and number >= 1 for number in numbers):
        raise ConfigError(f"{field}: expected whole numbers from 1, got {numbers!r:.100}", field=field)
    return tuple(numbers)
