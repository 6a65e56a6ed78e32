"""Other numbers of heads in attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graphnas.errors import MutationError
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.mutators.library.modules import Where, checked_numbers, leaf_of
from graphnas.mutators.sited import SiteMutator, Sites, leaf_sites, own_sites
from graphnas.mutators.widths import head_sites, set_heads

_ARGUMENTS: Mapping[str, str] = {
    "MultiheadAttention": "num_heads",
    "TransformerEncoderLayer": "nhead",
    "TransformerDecoderLayer": "nhead",
}
"""What the number of heads is called, by class of torch.nn."""


class ChangeHeads(SiteMutator[Site]):
    """Splits the width of an attention into another number of heads; the choice is `heads`.

    The width stays, and so do the weights of layers, which mean something else then. Of an attention that is written
    out, the place is the first `view`, `reshape` or `unflatten` that splits channels into heads. What has the same
    channels changes along: where the residual stream is split into heads, all attentions on it do.

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
        yield from leaf_sites(model, *_ARGUMENTS)
        yield from own_sites(model, head_sites(model))

    def edit(self, model: Rewriter, place: Site) -> None:
        heads = self.choice(self.heads, "heads")
        if place.spec is None:
            set_heads(model, place, heads)
            return
        old = leaf_of(place)
        width = getattr(old if place.type == "MultiheadAttention" else old.self_attn, "embed_dim", 0)
        if width % heads:
            raise MutationError(
                f"{place.name}: a width of {width} cannot be split into {heads} heads; choose a divisor",
                site=place.name,
            )
        model.update_module(place.module_path, **{_ARGUMENTS[place.type]: heads})

    def wanted(self) -> str:
        return f"a {', '.join(_ARGUMENTS)}, or a softmax over channels that are split into heads"
