"""Mutators that do one thing at places which they find themselves, and the ways to decide at which of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar
from typing import Literal as OneOf

from graphnas.errors import ConfigError, MutationError
from graphnas.ir.edits import is_below, twins
from graphnas.ir.module import Definition, join
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.mutators.mutator import Mutator
from graphnas.mutators.subset import Subset

Sites = OneOf["one", "some", "each", "all"] | int
"""How the places to edit are decided.

`one` place; `some` of them, any number; at most that many, for a number; `each` of them, with decisions of its own; or
`all` of them, alike.
"""


class Named(Protocol):
    """A place that is found again, after an edit, by its name."""

    @property
    def name(self) -> str:
        """What decisions call it."""


P = TypeVar("P", bound=Named)


class SiteMutator(Mutator, Generic[P]):
    """Base of mutators that find places and edit them: subclass, and write `find` and `edit`.

    Args:
        sites: How the places to edit are decided: `"one"`, `"some"`, at most a number of them, `"each"` with decisions
            of its own, or `"all"` alike. A place is decided by its name, such as `layer1.0:conv1`.
        where: Which places count, of those that are found.
        label: Name of the mutator.
    """

    def __init__(
        self, *, sites: Sites = "one", where: Callable[[P], bool] | None = None, label: str | None = None
    ) -> None:
        super().__init__(label)
        if sites not in ("one", "some", "each", "all") and (type(sites) is not int or sites < 1):
            raise ConfigError(
                f"sites: expected 'one', 'some', 'each', 'all' or a number from 1, got {sites!r}", field="sites"
            )
        self.sites = sites
        self.where = where

    @abstractmethod
    def find(self, model: Rewriter) -> Iterable[P]:
        """Yield the places that can be edited, in order; to be written by subclasses."""

    @abstractmethod
    def edit(self, model: Rewriter, place: P) -> None:
        """Edit one place, `self.choice` deciding what is open; to be written by subclasses.

        Raises:
            MutationError: It cannot be edited after all.
        """

    def mutate(self, model: Rewriter) -> None:
        places = self._places(model)
        if not places:
            which = " that `where` lets through" if self.where is not None else ""
            raise MutationError(f"mutator {self.label!r} finds no place{which} in {model.base.name}: {self.wanted()}")
        chosen = self._chosen(tuple(places))
        for count, name in enumerate(chosen):
            if count:
                model.verify()
                places = self._places(model)
                if name not in places and self.sites in ("each", "all"):
                    continue  # what was done elsewhere has changed it, too
            if name not in places:
                raise MutationError(f"mutator {self.label!r}: {name} is gone after {chosen[count - 1]}", site=name)
            if self.sites in ("one", "all"):
                self.edit(model, places[name])
            else:
                with self.scope(name):
                    self.edit(model, places[name])

    def wanted(self) -> str:
        """Return what is looked for, for the message that there is none."""
        return (type(self).__doc__ or type(self).__name__).partition("\n")[0]

    def _places(self, model: Rewriter) -> dict[str, P]:
        places: dict[str, P] = {}
        for place in self.find(model):
            if self.where is None or self.where(place):
                places.setdefault(place.name, place)
        return places

    def _chosen(self, names: tuple[str, ...]) -> Sequence[str]:
        if self.sites in ("each", "all"):
            return names
        if self.sites == "one":
            return (self.choice(names, "site"),)
        most = len(names) if self.sites == "some" else min(int(self.sites), len(names))
        chosen: list[str] = self.choice(Subset("sites", names, (0, most)))
        return chosen


def own_sites(model: Rewriter, sites: Iterable[Site] | None = None) -> Iterator[Site]:
    """Yield the sites of a model, those of a module that it shares at the first of its paths only."""
    shared = _shared(model.root)
    for site in model.sites if sites is None else sites:
        if not any(is_below(site.path, path) for path in shared):
            yield site


def leaf_sites(model: Rewriter, *types: str) -> Iterator[Site]:
    """Yield the first call of every leaf of one of those classes; edits of a module concern all of its calls."""
    seen: set[str] = set()
    for site in own_sites(model):
        if site.type in types and site.spec is not None and not isinstance(site.spec, Definition):
            if site.module_path not in seen:
                yield site
            seen.update(twins(model.root, site.module_path))


def _shared(root: Definition) -> tuple[str, ...]:
    found: list[str] = []
    if root.has_ties:
        for above, part in root.walk():
            if isinstance(part, Definition):
                found += [join(above, tie.path) for tie in part.ties if part.has_child(tie.path)]
    return tuple(found)
