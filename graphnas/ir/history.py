"""How a model came to be: back to an ancestor, and which mutation made what.

What two models differ in is `graphnas.ir.diff`; applying a history again is `graphnas.mutators.replay`.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphnas.errors import MutationError
from graphnas.ir.edits import is_below
from graphnas.ir.model import Model, Mutation
from graphnas.ir.module import Definition
from graphnas.ir.sites import Site, lookup


def undo(model: Model, n: int = 1) -> Model:
    """Return the model as it was before its last `n` mutations.

    Args:
        model: The model; it stays as it is.
        n: How many mutations to take back.

    Raises:
        MutationError: There are not so many, or the ancestors are not at hand: the model was read from a file or came
            from another process. Then `graphnas.mutators.replay` builds them anew.
    """
    if type(n) is not int or not 0 <= n <= len(model.history):
        raise MutationError(f"undo: {model.name} has {len(model.history)} mutations, so {n!r} cannot be taken back")
    found = model
    for _ in range(n):
        if found.parent is None:
            raise MutationError(
                f"undo: what {model.name} was before mutation {len(found.history)} is not at hand, since it was read "
                "from a file or came from another process; replay a part of its history on the traced model: "
                f"graphnas.mutators.replay(traced, model.history[:{len(model.history) - n}], mutators)"
            )
        found = found.parent
    return found


@dataclass(frozen=True)
class Blame:
    """Which mutations a node or a module goes back to.

    Attributes:
        place: The node, as `path:node`, or the path of the module.
        made_by: The mutation that made it, or the module that it stands in; None if the trace did.
        changed_by: Mutations that changed it afterwards, oldest first.
    """

    place: str
    made_by: Mutation | None
    changed_by: tuple[Mutation, ...]

    def __str__(self) -> str:
        made = "the trace" if self.made_by is None else _named(self.made_by)
        changed = f", changed by {', '.join(map(_named, self.changed_by))}" if self.changed_by else ""
        return f"{self.place}: made by {made}{changed}"


def blame(model: Model, place: str | Site) -> Blame:
    """Return which mutation made a node or a module, and which ones changed it since.

    A change of the module that a node calls is one of the node.

    Args:
        model: The model, with its history.
        place: A site, the name of a node (`layer1.0:conv1`), or the path of a module.

    Raises:
        MutationError: The model has no such node or module.
    """
    name = place.name if isinstance(place, Site) else place
    path, colon, node = name.rpartition(":")
    if not colon:
        path = name
        lookup(model.root, path)
        callee = path
    else:
        site = model.site(name)
        callee = "" if isinstance(site.spec, Definition) else site.module_path
    made: Mutation | None = None
    changed: list[Mutation] = []
    for mutation in model.history:
        if any(_contains(item, path, node, callee) for item in mutation.created):
            made, changed = mutation, []
        elif any(item in (name, callee) for item in mutation.sites):
            changed.append(mutation)
    return Blame(name, made, tuple(changed))


def _contains(created: str, path: str, node: str, callee: str) -> bool:
    """Tell whether something that was created is the node or module in question, or holds it."""
    above, colon, name = created.rpartition(":")
    if not colon:
        return is_below(path, created) or bool(callee and is_below(callee, created))
    return (above, name) == (path, node)


def _named(mutation: Mutation) -> str:
    label = f" {mutation.label!r}" if mutation.label and mutation.label != mutation.mutator else ""
    decided = ", ".join(f"{name}={value!r}" for name, value in mutation.decisions.items())
    return f"{mutation.mutator}{label}" + (f" ({decided})" if decided else "")
