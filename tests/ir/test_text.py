"""The text form: it round-trips, it reads well, and what is wrong with it is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphnas.errors import ParseError
from graphnas.ir.graph import Graph, Guard, Input, Node, Operation
from graphnas.ir.keyed import digest
from graphnas.ir.literal import FrozenDict, Value
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, Forward, ModuleSpec, Tie
from graphnas.ir.scanner import parse_argument, parse_type
from graphnas.ir.text import format_argument, format_model, format_type, parse_model
from graphnas.ir.types import Type
from tests.ir.handmade import language_model, resnet
from tests.strategies import BATCH, literals, models, types

NAMES = st.text(min_size=1, max_size=6)


@given(literals())
def test_every_literal_round_trips(value: Any) -> None:
    assert digest("", parse_argument(format_argument(value))) == digest("", value)


@given(types())
def test_every_type_round_trips(type: Type) -> None:
    assert digest("", parse_type(format_type(type))) == digest("", type)


@given(models())
def test_every_model_round_trips(model: Model) -> None:
    text = format_model(model)
    read = parse_model(text)
    assert read.key == model.key
    assert digest("", read.history) == digest("", model.history)
    assert format_model(read) == text


@given(NAMES, NAMES, NAMES, NAMES, NAMES)
def test_every_name_round_trips(child: str, value: str, label: str, target: str, keyword: str) -> None:
    node = Node(value, Operation("module", target, 3), (), FrozenDict({keyword: Value(value)}), BATCH, label, label)
    graph = Graph((Input(value, BATCH, True),), (node,), Value(value), (Guard(value, None),))
    leaf = ModuleSpec(target, (), FrozenDict({keyword: 1}), (child,), label, True)
    definition = Definition(
        target,
        "choice",
        FrozenDict({child: leaf}),
        forwards=(Forward(graph),),
        ties=(Tie(child, value),),
        label=label,
        settings=FrozenDict({child: label}),
    )
    model = Model(Definition(label, children=FrozenDict({child: definition}), origin=target, init=graph))
    read = parse_model(format_model(model))
    assert read.key == model.key
    assert read.root.origin == target


@pytest.mark.parametrize(("name", "model"), [("resnet", resnet()), ("language_model", language_model())])
def test_golden(golden: Callable[[str, str], None], name: str, model: Model) -> None:
    golden(f"text/{name}.txt", str(model))


def test_equal_definitions_are_printed_once_and_are_one_object_when_read() -> None:
    model = resnet(widths=(8,), blocks=3)
    text = format_model(model)
    assert text.count("module @BasicBlock") == 1
    read = parse_model(text)
    assert read["layer1.0"] is read["layer1.2"]


def test_one_line_a_node_with_types_in_one_column() -> None:
    lines = [line for line in format_model(resnet()).splitlines() if line.startswith("    %")]
    assert len(lines) == 9 + 2 + 7 + 2 + 8 + 2 + 7
    assert len({line.index(" : ") for line in lines[:9]}) == 1


def test_comments_and_layout_do_not_count() -> None:
    model = language_model()
    text = format_model(model).replace("  ", "\n").replace(" = ", " // note {\n=")
    assert parse_model(text) == model


HEAD = "graphnas 1 model @Net\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "expected 'graphnas', got the end of the text"),
        ("graphnas 2 model @Net", 1, 10, "expected version 1, which is what this graphnas reads, got '2'"),
        (HEAD, 1, 18, "expected the name of a definition in this text"),
        (HEAD + "modul @Net {}", 2, 1, "expected a definition, a mutation or the end of the text, got 'modul'"),
        (HEAD + "module @Net {} module @Net {}", 2, 23, "expected each definition once"),
        (HEAD + "module @Net { child a = @Net }", 2, 25, "expected no definition inside itself"),
        (HEAD + "module @Net { child a = @Other }", 2, 25, "expected the name of a definition"),
        (HEAD + "module @Net { child a = x:y() child a = x:y() }", 2, 37, "expected each name once"),
        (HEAD + "module @Net { parameter a: int=1 }", 2, 28, "expected the type of a tensor, got 'int'"),
        (HEAD + "module @Net { parameter a: f99[1] }", 2, 28, "expected a type, got 'f99'"),
        (HEAD + "module @Net { buffer a: f32[1] lasting }", 2, 32, "expected one of persistent"),
        (HEAD + "module @Net { buffer a: f32[1] plain data f32[1] '?' }", 2, 50, "expected a string of base64"),
        (HEAD + "module @Net { train { return None } }", 2, 21, "expected a forward before its train block"),
        (HEAD + "module @Net { forward {\n  %a = modul b : int=1", 3, 8, "expected an operation: one of module"),
        (HEAD + "module @Net { forward {\n  %a = function b(%c : int=1", 3, 22, "expected ',' or '\\)', got ':'"),
        (HEAD + "module @Net { forward {\n  %a = function b(k=1, 2) : int=1", 3, 24, "expected a keyword argument"),
        (HEAD + "module @Net { forward {\n  %a = function b(k=1, k=2) : int=1", 3, 24, "expected each keyword once"),
        (HEAD + "module @Net { forward {\n  return eval('1') } }", 3, 10, "expected a literal or a value, got 'eval'"),
        (HEAD + "module @Net { forward {\n  return torch.load } }", 3, 10, "expected a literal or a value"),
        (HEAD + "module @Net { forward {\n  return (1) } }", 3, 10, "expected a comma behind the only item of a tuple"),
        (HEAD + "module @Net { forward {\n  return range(0, 1, 0) } }", 3, 10, "expected arguments that range takes"),
        (HEAD + "module @Net { forward {\n  return {1: 2, 1: 3} } }", 3, 17, "expected each key once"),
        (HEAD + "module @Net { forward {\n  return 'abc", 3, 10, "expected a literal or a value"),
        (HEAD + f"module @Net {{ forward {{\n  return {'[' * 200}", 3, 111, "expected at most 100 levels of nesting"),
    ],
)
def test_what_is_wrong_is_shown(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        parse_model(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert f"line {line}, column {column}: " in str(caught.value)


def test_the_caret_stands_under_what_is_wrong() -> None:
    with pytest.raises(ParseError, match="model text, line 2") as caught:
        parse_model("graphnas 1 model @Net\nmodule @Net { child a b }")
    assert str(caught.value).splitlines()[1:] == ["  module @Net { child a b }", " " * 24 + "^"]


@given(st.integers(0, 10_000), st.sampled_from(["", "}", "%", "(", "@", "é", "0"]))
def test_a_damaged_text_is_refused_or_read_but_never_breaks_the_parser(position: int, patch: str) -> None:
    text = format_model(language_model())
    position %= len(text)
    with contextlib.suppress(ParseError):
        parse_model(text[:position] + patch + text[position + 1 :])
