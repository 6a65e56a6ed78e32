"""Slots and choices of a template as plain Python: statements under an `if`, values as `a if flag else b`.

A condition that tells members apart is a hole whose values are True and False. Where it is the same as whether a child
is there, a forward asks `self.downsample is not None` instead, and the constructor sets the child to None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from graphnas.codegen import syntax
from graphnas.codegen.known import known
from graphnas.codegen.syntax import Function, Tree
from graphnas.codegen.template import Column, Site, hole, item_of, members_of
from graphnas.codegen.variables import bound_by
from graphnas.codegen.variants import members_that_take

NONE = syntax.literal("None")
TRUE, FALSE = syntax.literal("True"), syntax.literal("False")
FLAG = "use"
"""Owner of the site of a condition."""

_SELF = syntax.identifier("self")
_Groups = list[tuple[int, list[Tree]]]
"""Items in a row that the same members have."""


class Lowering:
    """Lowers blocks for the members of a set; `flag` says what the conditions are."""

    def block(self, items: Sequence[Tree], context: int) -> list[Tree]:
        """Return the statements of those members."""
        groups: _Groups = []
        for item in items:
            mask, statement = (item.note & context, item.parts[0]) if item.kind == "slot" else (context, item)
            for members, written in self.statement(statement, mask, context) if mask else ():
                self._append(groups, members, written)
        found: list[Tree] = []
        position = 0
        while position < len(groups):
            mask, body = groups[position]
            position += 1
            if mask == context:
                found += body
                continue
            branches = [(mask, body)]
            covered = mask
            while position < len(groups) and not groups[position][0] & covered:
                branches.append(groups[position])
                covered |= groups[position][0]
                position += 1
            found += self._branches(branches, context, last=position == len(groups))
        return found

    def statement(self, tree: Tree, mask: int, context: int) -> list[tuple[int, Tree]]:
        """Return a statement of the members `mask`, and those that are to run it; perhaps another one for the rest."""
        return [(mask, self.tree(tree, mask))]

    def flag(self, mask: int, context: int, content: Sequence[Tree]) -> Tree:
        """Return the condition that holds for `mask` and not for the rest of `context`."""
        values = {number: TRUE if mask >> number & 1 else FALSE for number in members_of(context)}
        return hole(values, Site(_content_name(content) or "extended", FLAG, 1))

    def tree(self, tree: Tree, context: int) -> Tree:
        """Return an expression or statement of those members."""
        if tree.kind == "select":
            return self.select([(part.note & context, part.parts[0]) for part in tree.parts], context)
        if tree.kind == "block":
            return tree._replace(parts=tuple(self.block(tree.parts, context)))
        if tree.kind == "hole":
            column: Column = tree.note
            values = {number: column.values[number] for number in members_of(context) if number in column.values}
            return tree if list(values) == list(column.values) else hole(values, column.site)
        if not tree.parts:
            return tree
        if any(part.kind == "slot" for part in tree.parts):
            return tree._replace(parts=tuple(self._elements(tree.parts, context)))
        return tree.with_parts([self.tree(part, context) for part in tree.parts])

    def select(self, options: Sequence[tuple[int, Tree]], context: int) -> Tree:
        """Return `a if flag else b`, or more of that."""
        options = [(mask, item) for mask, item in options if mask]
        mask, item = options[0]
        value = self.tree(item, mask)
        if len(options) == 1:
            return value
        rest = self.select(options[1:], context & ~mask)
        return syntax.conditional(value, self.flag(mask, context, [value]), rest)

    def _branches(self, branches: _Groups, context: int, *, last: bool) -> list[Tree]:
        """Return `if: ... elif: ... else: ...`; what follows a branch that returns needs no `else`."""
        (mask, body), *rest = branches
        test = self.flag(mask, context, body)
        if not rest:
            return [syntax.if_statement(test, body)]
        inner = context & ~mask
        others = rest[0][1] if rest[0][0] == inner else self._branches(rest, inner, last=last)
        if last and body[-1].kind == "return":
            return [syntax.if_statement(test, body), *others]
        return [syntax.if_statement(test, body, others)]

    def _elements(self, parts: Sequence[Tree], context: int) -> list[Tree]:
        """Return items of a list or call: `*([a, b] if flag else [])` for those that some members lack."""
        groups: _Groups = []
        for part in parts:
            mask, item = (part.note & context, part.parts[0]) if part.kind == "slot" else (context, part)
            if mask:
                self._append(groups, mask, self.tree(item, mask))
        found: list[Tree] = []
        while groups:
            mask, items = groups.pop(0)
            if mask == context:
                found += items
                continue
            other = groups.pop(0)[1] if groups and groups[0][0] == context & ~mask else []
            test = self.flag(mask, context, items)
            found.append(syntax.starred(syntax.conditional(syntax.list_of(items), test, syntax.list_of(other))))
        return found

    @staticmethod
    def _append(groups: _Groups, mask: int, item: Tree) -> None:
        if groups and groups[-1][0] == mask:
            groups[-1][1].append(item)
        else:
            groups.append((mask, [item]))


class ModeLowering(Lowering):
    """Lowers a body of two members, train mode and eval mode."""

    def flag(self, mask: int, context: int, content: Sequence[Tree]) -> Tree:
        """Return `self.training`, or its opposite."""
        training = syntax.dotted("self.training")
        return training if mask == 1 else syntax.unary("not", training)


class ClassLowering(Lowering):
    """Lowers the methods of a class, the forwards first: they decide which children are None for some members.

    Args:
        functions: The methods.
        everyone: All members.
        lacks: Tells whether an attribute that a member inherits is None.
    """

    def __init__(self, functions: Sequence[Function], everyone: int, lacks: Callable[[int, str], bool]) -> None:
        self.everyone = everyone
        self.lacks = lacks
        self.present: dict[str, int] = {}
        body = next((function.body for function in functions if function.name == "__init__"), ())
        times = Counter(own_attribute(item.parts[0] if item.kind == "slot" else item) for item in body)
        for item in body:
            name = own_attribute(item.parts[0]) if item.kind == "slot" else ""
            if name and times[name] == 1:  # set at two places, None from the second would undo the first
                self.present[name] = item.note
        masks = list(self.present.values())
        buffers = [_buffer_name(item.parts[0]) for item in body if item.kind == "slot"]
        self.alone = [n for n, mask in self.present.items() if masks.count(mask) == 1 and n not in buffers]
        self.inputs: dict[str, int] = {}
        self.none_able: set[str] = set()
        self.in_forward = True
        written = {
            item.name: self._function(item, everyone)
            for item in sorted(functions, key=lambda function: function.name == "__init__")
        }
        self.functions = tuple(written[item.name] for item in functions)

    def _function(self, function: Function, everyone: int) -> Function:
        self.in_forward = function.name != "__init__"
        self.inputs = _optional_inputs(function)
        return function._replace(body=tuple(self.block(function.body, everyone)))

    def _branches(self, branches: _Groups, context: int, *, last: bool) -> list[Tree]:
        """Of two branches, put the one first that has a name for its condition."""
        if len(branches) == 2 and branches[1][0] == context & ~branches[0][0]:
            branches = sorted(branches, key=lambda branch: not _content_name(branch[1]))
        return super()._branches(branches, context, last=last)

    def statement(self, tree: Tree, mask: int, context: int) -> list[tuple[int, Tree]]:
        """Return a statement of the members `mask`; `self.x = ... if flag else None` is run by all.

        A buffer takes a statement for those that have it, and one that registers None for the others.
        """
        is_same = mask == self.everyone and not known(tree).has_choices
        written = tree if is_same or known(tree).unfolded is not None else self.tree(tree, mask)
        name = own_attribute(tree)
        if mask == context or self.in_forward or name not in self.none_able:
            return [(mask, written)]
        if _buffer_name(tree):
            call = syntax.call(syntax.dotted("self.register_buffer"), [syntax.string(name), NONE])
            return [(mask, written), (context & ~mask, syntax.expression_statement(call))]
        target, value = written.parts
        test = self.flag(mask, context, [tree])
        return [(context, syntax.assign(target, syntax.conditional(value, test, NONE)))]

    def select(self, options: Sequence[tuple[int, Tree]], context: int) -> Tree:
        """Return a choice; `self.bias` where the others have None."""
        options = [(mask, item) for mask, item in options if mask]
        if self.in_forward and len(options) == 2:
            for (mask, item), (_, other) in (options, options[::-1]):
                name = _self_attribute(item)
                if not name or other.text != "None":
                    continue
                if self.present.get(name, 0) & context == mask:
                    self.none_able.add(name)
                    return item
                if all(self.lacks(number, name) for number in members_of(context & ~mask)):
                    return item
        return super().select(options, context)

    def flag(self, mask: int, context: int, content: Sequence[Tree]) -> Tree:
        """Return the condition, in a forward whether the one input or child is there that these members have."""
        for name, members in self.inputs.items():
            if members & context in (mask, context & ~mask):
                operator = "is not" if members & context == mask else "is"
                return syntax.comparison(operator, syntax.identifier(name), NONE)
        if self.in_forward:
            for name in self.alone:
                present = self.present[name] & context
                if present in (mask, context & ~mask):
                    self.none_able.add(name)
                    operator = "is not" if present == mask else "is"
                    return syntax.comparison(operator, syntax.dotted(f"self.{name}"), NONE)
        return super().flag(mask, context, content)


def own_attribute(statement: Tree) -> str:
    """Return the attribute that a statement of the constructor sets, or the empty string."""
    if statement.kind == "assign" and not statement.text:
        return _self_attribute(statement.parts[0])
    return _buffer_name(statement)


def _buffer_name(statement: Tree) -> str:
    if statement.kind != "expression" or statement.parts[0].kind != "call":
        return ""
    function, *args = statement.parts[0].parts
    is_buffer = function == syntax.dotted("self.register_buffer")
    return args[0].text.strip("'\"") if is_buffer else ""


def _optional_inputs(function: Function) -> dict[str, int]:
    """Return the inputs that only some members take, by name, where the others use the name for nothing else."""
    found: dict[str, int] = {}
    for item in function.parameters:
        members = members_that_take(item)
        others = [
            part for part in function.body if part.kind != "slot" or (members is not None and part.note & ~members)
        ]
        if members is not None and not any(item.name in bound_by(item_of(part)) for part in others):
            found[item.name] = members
    return found


def _self_attribute(tree: Tree) -> str:
    return tree.text if tree.kind == "attribute" and tree.parts[0] == _SELF else ""


def _content_name(content: Sequence[Tree]) -> str:
    """Return a name for the condition under which something stands: of the child or class that it is about, if any."""
    for find in (own_attribute, _mentioned, _added, _built):
        for tree in content:
            found = find(tree).lstrip("_")
            if found:
                return found
    return ""


def _mentioned(tree: Tree) -> str:
    name = _self_attribute(tree)
    return name if name and name != "training" else next(filter(None, map(_mentioned, tree.parts)), "")


def _added(tree: Tree) -> str:
    """Return `shortcut` for what adds two values up."""
    if tree.kind == "binary" and tree.text == "+" and all(part.kind == "name" for part in tree.parts):
        return "shortcut"
    return next(filter(None, map(_added, tree.parts)), "")


def _built(tree: Tree) -> str:
    """Return the name of what is called."""
    called = tree.parts[0] if tree.kind == "call" else tree
    name = called.text.rpartition(":")[2].rpartition(".")[2].lower() if called.kind == "reference" else ""
    is_named = tree.kind == "call" and name.isidentifier()
    return name if is_named else next(filter(None, map(_built, tree.parts)), "")
