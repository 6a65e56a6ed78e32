"""Changing the number of output channels of one layer, and whatever has to change along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphnas.errors import MutationError, VerificationError
from graphnas.ir.literal import Literal
from graphnas.ir.lru import LRU
from graphnas.ir.model import Model
from graphnas.ir.module import Child, Definition, ModuleSpec
from graphnas.ir.resolve import format_spec
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.verify import verified
from graphnas.mutators.widths.apply import disagreement, rewrites, rewritten
from graphnas.mutators.widths.axes import Atom, Axis, atoms, is_fixed, reason, resolve, size_of
from graphnas.mutators.widths.leaves import WIDTH_ARGUMENTS, arguments_of
from graphnas.mutators.widths.roles import is_summed
from graphnas.mutators.widths.solving import Check, nearest, solve, sources
from graphnas.mutators.widths.survey import Survey, survey
from graphnas.mutators.widths.values import Number, Place


@dataclass(frozen=True, slots=True)
class AxisChange:
    """How one axis of a parameter or buffer changed.

    Attributes:
        axis: Number of the axis.
        segments: Pairs `(old, new)` in order: so many consecutive channels became so many. The first `min(old, new)` of
            them are the same channels; the rest was dropped, or is new.
    """

    axis: int
    segments: tuple[tuple[int, int], ...]

    @property
    def sources(self) -> tuple[int, ...]:
        """By new channel, the old one that it continues; a new one continues one of its segment, taken in turn.

        Two axes that change together have the same answer, so that what is copied on one side can be shared out on
        the other.
        """
        found: list[int] = []
        start = 0
        for old, new in self.segments:
            found += [start + index % old if old else index % start if start else 0 for index in range(new)]
            start += old
        return tuple(found)


@dataclass(frozen=True, slots=True)
class WidthChange:
    """What changed with a width.

    Attributes:
        path: The layer whose output channels were set.
        before: How many it had.
        after: How many it has.
        tensors: Parameters and buffers that changed, by their path in the `state_dict`, and which axes of each did.
    """

    path: str
    before: int
    after: int
    tensors: Mapping[str, tuple[AxisChange, ...]]


_SURVEYS: LRU[Survey] = LRU(64)


def survey_of(root: Definition) -> Survey:
    """Return which channels of a model hang together, from memory if it was asked before."""
    found = _SURVEYS.get(root.key)
    if found is None:
        found = survey(root)
        _SURVEYS.put(root.key, found)
    return found


def set_width(edit: Rewriter, path: str, width: int) -> WidthChange:
    """Give a layer another number of output channels, and repair everything that hangs together with it.

    The layer is a convolution, a linear layer or an embedding, or derives from one. What changes along is found by
    following the channels through the graph, both ways: layers whose outputs are added change together, and so do all
    that take the channels or normalise them. Numbers in `forward` that are a width are rewritten as well.

    Args:
        edit: The open edit; unchanged if the width is refused.
        path: Path of the layer.
        width: How many output channels it shall have.

    Raises:
        MutationError: There is no such layer, the channels are fixed by an edge that the message names, or the width
            does not fit groups or heads; the message has the nearest ones that do.
    """
    layer, spec, name = _layer(edit, path)
    if spec is None or not name:
        what = layer.class_name if isinstance(layer, Definition) else format_spec(layer)
        raise MutationError(f"{path} is {what}, expected a convolution, a linear layer or an embedding", site=path)
    if type(width) is not int or width < 1:
        raise MutationError(f"{path}: a width is an integer from 1, got {width!r}", site=path)
    try:
        edit.verify()
    except VerificationError as error:
        raise MutationError(f"{path}: widths are followed in a sound model only, but {error}", site=path) from error
    found = survey_of(edit.root)
    axis = _axis(found, path, spec, name)
    before = size_of(axis)
    if before == width:
        return WidthChange(path, before, width, {})

    def divides(sizes: Mapping[Atom, int]) -> bool:
        return all(item.groups_of(size_of(item.axis, sizes)) is not None for item in found.divisions)

    sizes = solve(axis, width, divides)
    if sizes is None:
        raise MutationError(_refusal(path, axis, width, divides), site=path)
    try:
        model = verified(Model(rewritten(edit.root, found, rewrites(found, sizes))))
    except VerificationError as error:
        raise MutationError(f"{path} cannot have {width} channels, since then {error}", site=path) from error
    wrong = disagreement(edit.root, model.root, found, sizes)
    if wrong:
        raise MutationError(f"{path} cannot have {width} channels, since then {wrong}", site=path)
    edit.replace_root(model.root, "set_width", path, f"Set the width of {path} from {before} to {width}.")
    change = WidthChange(path, before, width, dict(_tensors(found, sizes)))
    note_change(edit, found, sizes)
    return change


def note_change(edit: Rewriter, found: Survey, sizes: Mapping[Atom, int]) -> None:
    """Tell an edit how its parameters and buffers come from those before, for the history."""
    edit.note_weights({name: _steps(edit.root, name, axes) for name, axes in _tensors(found, sizes) if axes})


def _steps(root: Definition, name: str, axes: tuple[AxisChange, ...]) -> list[Literal]:
    """Return how a tensor comes from the one before, for the history; see `graphnas.mutators.inherit`."""
    return [("resize", axis.axis, bool(is_summed(root, name, axis.axis)), axis.segments) for axis in axes]


def width_of(edit: Rewriter, path: str) -> int | None:
    """Return the number of output channels of a layer, None if it is no layer, or they cannot change.

    Raises:
        MutationError: Nothing stands at `path`.
        VerificationError: The edit is not sound as it stands.
    """
    _, _, name = _layer(edit, path)
    if not name:
        return None
    edit.verify()
    found = survey_of(edit.root)
    axis = found.places.get(Place(found.real(path), "argument", 0, "", (name,)))
    return None if axis is None or is_fixed(axis) else size_of(resolve(axis))


def _layer(edit: Rewriter, path: str) -> tuple[Child, ModuleSpec | None, str]:
    """Return what stands at a path, the leaf that it is or derives from, and the argument that says its width."""
    layer = edit[path]
    spec = layer.base if isinstance(layer, Definition) else layer
    known = {} if spec is None else arguments_of(path, spec)
    return layer, spec, next((name for name in WIDTH_ARGUMENTS if name in known), "")


def _axis(found: Survey, path: str, spec: ModuleSpec, name: str) -> Axis:
    place = Place(found.real(path), "argument", 0, "", (name,))
    axis = found.places.get(place)
    if axis is None:
        number = arguments_of(path, spec)[name]
        if isinstance(number, Number) and number.value == 1:
            raise MutationError(f"{path} has a single channel, which is broadcast and cannot become more", site=path)
        raise MutationError(f"{path} is {format_spec(spec)}, whose parameters are not known", site=path)
    return resolve(axis)


def _refusal(path: str, axis: Axis, width: int, check: Check) -> str:
    before = size_of(axis)
    free = [atom for atom in atoms(axis) if not atom.pin]
    if not free:
        why = reason(axis) or "a number that stays"
        return f"{path} must keep its {before} channels: they meet {why}"
    near = nearest(axis, width, check)
    return (
        f"{path} has {before} channels, and cannot have {width}: {_structure(axis)}; "
        f"{' and '.join(map(str, near))} would work"
    )


def _structure(axis: Axis) -> str:
    texts = []
    for term in axis[:8]:
        texts.append(" x ".join(str(f if isinstance(f, int) else f.size) for f in term))
    more = f" + {len(axis) - 8} more" if len(axis) > 8 else ""
    why = reason(axis)
    kept = f", of which {why} keeps some" if why else ""
    return f"they are {' + '.join(texts)}{more}{kept}"


def _tensors(found: Survey, sizes: Mapping[Atom, int]) -> Iterator[tuple[str, tuple[AxisChange, ...]]]:
    for (path, name), tensor in found.affected(sizes).states.items():
        changed = tuple(
            AxisChange(index, sources(axis, sizes))
            for index, axis in enumerate(tensor.axes)
            if size_of(axis, sizes) != size_of(axis)
        )
        for prefix in found.names(path):
            yield f"{prefix}.{name}" if prefix else name, changed
