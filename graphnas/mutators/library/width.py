"""Other numbers of channels: wider and narrower layers, with all that hangs together with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphnas.errors import ConfigError, MutationError
from graphnas.ir.module import Definition
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.mutators.inherit import lost
from graphnas.mutators.library.modules import Where
from graphnas.mutators.sited import SiteMutator, Sites, own_sites
from graphnas.mutators.widths import set_width, width_of


class ChangeWidth(SiteMutator[Site]):
    """Changes the number of output channels of layers, and repairs whatever hangs together with them.

    The choice is `factor`. Layers whose outputs are added change together; see `graphnas.mutators.widths.set_width`.

    Args:
        factors: What to choose from: factors of the present width.
        multiple: The new width is rounded to a multiple of this, at least once it; layers below it keep to 1.
        preserving: Refuse what would change the function of the model if the child inherits its weights: layers get
            wider only, and nothing mixes the repeated channels (Chen et al. 2016, Net2Net, arXiv 1511.05641).
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count.
        label: Name of the mutator.

    Raises:
        ConfigError: A factor is not above 0, or `preserving` is asked for with one below 1.
    """

    def __init__(
        self,
        factors: Sequence[float],
        *,
        multiple: int = 8,
        preserving: bool = False,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        least = 1 if preserving else 0
        if not factors or not all(factor > least for factor in factors):
            raise ConfigError(f"factors: expected numbers above {least}, got {factors!r:.100}", field="factors")
        if type(multiple) is not int or multiple < 1:
            raise ConfigError(f"multiple: expected a whole number from 1, got {multiple!r}", field="multiple")
        self.factors = tuple(factors)
        self.multiple = multiple
        self.preserving = preserving

    def find(self, model: Rewriter) -> Iterable[Site]:
        seen: set[str] = set()
        for site in own_sites(model):
            path = site.module_path
            if path and path not in seen:
                seen.add(path)
                is_layer = not isinstance(site.spec, Definition) or site.spec.base is not None
                if is_layer and width_of(model, path) is not None:
                    yield site

    def edit(self, model: Rewriter, place: Site) -> None:
        factor = self.choice(self.factors, "factor")
        path = place.module_path
        before = width_of(model, path)
        if before is None:  # an earlier edit in the same mutation
            raise MutationError(f"{place.name}: its width is fixed", site=place.name)
        multiple = self.multiple if before >= self.multiple else 1
        width = max(multiple, round(before * factor / multiple) * multiple)
        root = model.root
        change = set_width(model, path, width)
        if self.preserving and change.tensors:
            why = lost(root, model.root, {name: model.weights[name] for name in change.tensors})
            if why:
                raise MutationError(f"{place.name}: with {width} channels instead of {before}, {why}", site=place.name)

    def wanted(self) -> str:
        return "a layer whose width can change"


class Widen(ChangeWidth):
    """Gives layers more output channels; see `ChangeWidth`, whose `factors` are 1.5 and 2 here."""

    def __init__(
        self,
        factors: Sequence[float] = (1.5, 2.0),
        *,
        multiple: int = 8,
        preserving: bool = False,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(factors, multiple=multiple, preserving=preserving, sites=sites, where=where, label=label)


class Narrow(ChangeWidth):
    """Gives layers fewer output channels; see `ChangeWidth`, whose `factors` are 0.5 and 0.75 here."""

    def __init__(
        self,
        factors: Sequence[float] = (0.5, 0.75),
        *,
        multiple: int = 8,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(factors, multiple=multiple, sites=sites, where=where, label=label)
