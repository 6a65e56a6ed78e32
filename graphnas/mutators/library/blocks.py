"""Operations and blocks that come and go: insert, remove, duplicate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import nn

from graphnas.errors import ConfigError, MutationError
from graphnas.ir.infer import same_type
from graphnas.ir.literal import Value
from graphnas.ir.module import Definition
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.ir.types import TensorType
from graphnas.mutators.in_place import protect
from graphnas.mutators.library.depth import note_copy, silenced
from graphnas.mutators.library.modules import Where, checked_numbers
from graphnas.mutators.patterns import built, child_for
from graphnas.mutators.sited import SiteMutator, Sites, own_sites


class InsertModule(SiteMutator[Site]):
    """Inserts a module behind a value, for all that take it; the choice is `what` where there are several.

    Args:
        make: What to insert: a function from the type of the value to a module, or several by name. The type has the
            shape: `lambda type: nn.BatchNorm2d(type.shape[1])`.
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count; by default every call of a module that returns one tensor.
        label: Name of the mutator.

    Raises:
        ConfigError: `make` is no function.
    """

    def __init__(
        self,
        make: Callable[[TensorType], nn.Module] | Mapping[str, Callable[[TensorType], nn.Module]],
        *,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        self.make = dict(make) if isinstance(make, Mapping) else {"0": make}
        if not self.make or not all(map(callable, self.make.values())):
            raise ConfigError(f"make: expected a function, or several by name, got {make!r:.100}", field="make")

    def find(self, model: Rewriter) -> Iterable[Site]:
        every = self.where is not None
        for site in own_sites(model):
            if isinstance(site.node.type, TensorType) and (every or site.spec is not None):
                yield site

    def edit(self, model: Rewriter, place: Site) -> None:
        names = tuple(self.make)
        chosen = names[0] if len(names) == 1 else self.choice(names, "what")
        type = place.node.type
        assert isinstance(type, TensorType), "found as a tensor"
        made = built(lambda: self.make[chosen](type))
        new = model.insert_after(place, child_for(made, [type], place.name))
        protect(model, place.path, new.node.value)

    def wanted(self) -> str:
        return "a value that is one tensor"


class RemoveOperation(SiteMutator[Site]):
    """Removes operations that leave shape and dtype as they are: what took the result takes what went in.

    Args:
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count; by default calls of leaves, such as activations, normalisations and dropout.
        label: Name of the mutator.
    """

    def find(self, model: Rewriter) -> Iterable[Site]:
        for site in own_sites(model):
            wanted = self.where is not None or (site.spec is not None and not isinstance(site.spec, Definition))
            if wanted and source_of(site) is not None:
                yield site

    def edit(self, model: Rewriter, place: Site) -> None:
        remove(model, place)

    def wanted(self) -> str:
        return "an operation whose result has the type of its input"


class DropBlock(SiteMutator[Site]):
    """Removes blocks: modules of modules whose result has the type of their input.

    Args:
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count.
        label: Name of the mutator.
    """

    def find(self, model: Rewriter) -> Iterable[Site]:
        return block_sites(model)

    def edit(self, model: Rewriter, place: Site) -> None:
        remove(model, place)

    def wanted(self) -> str:
        return _BLOCK


class DuplicateBlock(SiteMutator[Site]):
    """Puts a block of the same kind behind blocks whose result has the type of their input; the choice is `times`.

    The copy has weights of its own, which start from those of the original if the child inherits weights.

    Args:
        times: How many copies, what to choose from.
        preserving: Let inherited copies start with branches that give zero, so that the child computes what its parent
            computes; what is no residual block is refused.
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count.
        label: Name of the mutator.

    Raises:
        ConfigError: A number of copies is no whole number from 1.
    """

    def __init__(
        self,
        times: Sequence[int] = (1,),
        *,
        preserving: bool = False,
        sites: Sites = "one",
        where: Where | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        self.times = checked_numbers(times, "times")
        self.preserving = preserving

    def find(self, model: Rewriter) -> Iterable[Site]:
        return (site for site in block_sites(model) if not self.preserving or _can_be_silent(model, site))

    def edit(self, model: Rewriter, place: Site) -> None:
        count = self.times[0] if len(self.times) == 1 else self.choice(self.times, "times")
        assert place.spec is not None, "found as the call of a block"
        source = source_of(place)
        last = place
        for _ in range(count):
            args = [last if item == source else item for item in place.node.args]
            kwargs = {name: last if item == source else item for name, item in place.node.kwargs.items()}
            last = model.insert_after(last, place.spec, name=_base(place), args=args, kwargs=kwargs)
            note_copy(model, place.module_path, last.module_path, place.spec)
            if self.preserving:
                model.note_weights(silenced(model, last.module_path))

    def wanted(self) -> str:
        return f"{_BLOCK}, a residual one" if self.preserving else _BLOCK


def _can_be_silent(model: Rewriter, site: Site) -> bool:
    try:
        silenced(model, site.module_path)
    except MutationError:
        return False
    return True


_BLOCK = "a block whose result has the type of its input"


def block_sites(model: Rewriter) -> Iterable[Site]:
    """Yield the calls of definitions whose result has the type of one of their inputs, the only one of this type."""
    for site in own_sites(model):
        if isinstance(site.spec, Definition) and len(site.spec.forwards) == 1 and source_of(site) is not None:
            yield site


def source_of(site: Site) -> Value | None:
    """Return the input that can stand for a node's result, None if no input has its type, or several have."""
    wanted = site.node.type
    if not isinstance(wanted, TensorType):
        return None
    given = [value for value in dict.fromkeys(site.node.inputs) if same_type(site.graph.type_of(value), wanted)]
    return given[0] if len(given) == 1 else None


def remove(model: Rewriter, place: Site) -> None:
    """Let all that takes a node's result take its input, and erase it.

    Raises:
        MutationError: No input has the type of the result, or several have.
    """
    source = source_of(place)
    if source is None:
        raise MutationError(
            f"{place.name}: no single input has the type {place.node.type} of its result", site=place.name
        )
    model.replace_all_uses_with(place, source)
    model.erase(place.name)
    protect(model, place.path, source)


def _base(place: Site) -> str:
    """Return a name for a copy: that of the module, unless it is a number, then that of its class."""
    name = place.node.operation.target.rpartition(".")[2]
    return name if name.isidentifier() else ""
