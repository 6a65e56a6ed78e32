"""Other numbers of heads in attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graphnas.errors import MutationError
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.mutators.library.modules import Where, checked_numbers, leaf_of
from graphnas.mutators.sited import SiteMutator, Sites, leaf_sites

_ARGUMENTS: Mapping[str, str] = {
    "MultiheadAttention": "num_heads",
    "TransformerEncoderLayer": "nhead",
    "TransformerDecoderLayer": "nhead",
}
"""What the number of heads is called, by class of torch.nn."""


class ChangeHeads(SiteMutator[Site]):
    """Splits the width of an attention of torch.nn into another number of heads; the choice is `heads`.

    The width stays, and so do the weights, which mean something else then. An attention that is written out has its
    heads where it reshapes: `Widen` and `Narrow` of the layers that make queries, keys and values add and remove whole
    heads, where these layers may have another width than the residual stream.

    Args:
        heads: What to choose from. A number that does not divide the width is refused there.
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count.
        label: Name of the mutator.

    Raises:
        ConfigError: A number of heads is no whole number from 1.
    """

    def __init__(
        self,
        heads: Sequence[int] = (1, 2, 4, 8),
        *,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        self.heads = checked_numbers(heads, "heads")

    def find(self, model: Rewriter) -> Iterable[Site]:
        return leaf_sites(model, *_ARGUMENTS)

    def edit(self, model: Rewriter, place: Site) -> None:
        heads = self.choice(self.heads, "heads")
        old = leaf_of(place)
        width = getattr(old if place.type == "MultiheadAttention" else old.self_attn, "embed_dim", 0)
        if width % heads:
            raise MutationError(
                f"{place.name}: a width of {width} cannot be split into {heads} heads; choose a divisor",
                site=place.name,
            )
        model.update_module(place.module_path, **{_ARGUMENTS[place.type]: heads})

    def wanted(self) -> str:
        return f"a {', '.join(_ARGUMENTS)}"
