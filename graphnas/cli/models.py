"""Commands that look at models: `trace` and `draw`. They run the file that they are given."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from graphnas.cli.options import Arguments, Inputs, Json, Target
from graphnas.cli.output import command, human_output_aside, print_json
from graphnas.errors import ConfigError


@command
def trace(
    target: Target,
    inputs: Inputs = None,
    arguments: Arguments = None,
    graph: Annotated[bool, typer.Option("--graph", help="Print the graph as text too.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.py", help="Write the generated source.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Trace a model, and report its hierarchy, guards, and the parts that are opaque, with the reasons."""
    import graphnas

    with human_output_aside(as_json):
        model = _traced(target, inputs, arguments)
        path = None if output is None else graphnas.save(model, output)
    if as_json:
        form = {"name": model.name, "fingerprint": model.fingerprint, **model.report.to_dict()}
        form |= {"graph": str(model)} if graph else {}
        print_json(form | ({"file": str(path)} if path is not None else {}))
        return
    print(str(model.report).rstrip())
    if graph:
        print(f"\n{model}")
    if path is not None:
        print(f"\nwritten: {path}")


@command
def draw(
    target: Target,
    inputs: Inputs = None,
    arguments: Arguments = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A .svg, .dot, .mmd or .json file.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", "-f", help="svg, dot, mermaid or json; else by the file's suffix.")
    ] = None,
    at: Annotated[str, typer.Option(metavar="PATH", help="The module to draw, as blocks.0; else the whole.")] = "",
    depth: Annotated[int | None, typer.Option(min=0, help="How many levels are expanded.")] = None,
    as_json: Json = False,
) -> None:
    """Draw the graph of a model, to a file or to the output."""
    import graphnas

    with human_output_aside(as_json):
        model = _traced(target, inputs, arguments)
        text = graphnas.draw(model, output, format="json" if as_json and output is None else form, at=at, depth=depth)
    if as_json:
        print_json(json.loads(text) if output is None else {"file": str(output), "fingerprint": model.fingerprint})
    else:
        print(text if output is None else output)


def _traced(target: str, inputs: list[str] | None, arguments: str | None) -> Any:
    import graphnas
    from graphnas.cli import named
    from graphnas.mutators import ModelSpace

    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)  # the error that follows says it
    keywords = _keywords(arguments)
    base = Path.cwd()
    built = named.build_model("FILE:NAME", named.find("FILE:NAME", target, base), keywords)
    if isinstance(built, graphnas.Model):
        return built
    shapes = None if not inputs else named.example_inputs("--input", inputs)
    if isinstance(built, ModelSpace):
        return built.freeze(built.default())
    if shapes is None:
        raise ConfigError("--input: is missing; give the shape of each input of the model, as --input 1,3,32,32")
    space = ModelSpace(built, (), shapes)
    return space.freeze(space.default()) if space.domains else graphnas.trace(built, shapes)


def _keywords(arguments: str | None) -> dict[str, Any]:
    if arguments is None:
        return {}
    try:
        found = json.loads(arguments)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--arguments: is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f'--arguments: expected an object, as {{"width": 8}}, got {arguments}')
    return found
