"""What is known of the statements of a template."""

from __future__ import annotations

from graphnas.codegen import syntax
from graphnas.codegen.known import known
from graphnas.codegen.syntax import Tree
from graphnas.codegen.template import Column, Site, hole, slot

X = syntax.identifier("x")
SITE = Site("width", "conv")
TARGET = syntax.dotted("self.conv")


def test_names_of_a_closed_statement() -> None:
    linear = syntax.call(syntax.reference("torch.nn:Linear"), [X])
    found = known(syntax.assign(TARGET, linear))
    assert found.attributes == ("conv",)
    assert found.variables == ("self", "Linear", "x")
    assert found.unfolded == syntax.assign(TARGET, linear)


def test_registered_names_are_attributes() -> None:
    call = syntax.call(syntax.dotted("self.register_buffer"), [syntax.string("mean"), X])
    assert known(syntax.expression_statement(call)).attributes == ("mean", "register_buffer")


def test_holes_and_choices_keep_a_statement_open() -> None:
    columns = [Column({0: syntax.integer(n), 1: syntax.integer(n + 1)}, SITE) for n in (2, 5)]
    holes = [hole(column.values, SITE) for column in columns]
    found = known(syntax.assign(TARGET, syntax.tuple_of(holes)))
    assert (found.columns, found.has_choices, found.unfolded) == (tuple(columns), False, None)
    choice = Tree("select", "", (slot(X, 1), slot(TARGET, 2)))
    found = known(syntax.assign(TARGET, choice))
    assert (found.columns, found.has_choices, found.unfolded) == ((), True, None)
