"""Options that several commands have, each with one spelling and one explanation."""

from __future__ import annotations

from typing import Annotated

import typer

from graphnas.errors import GraphNASError


def _complete_id(incomplete: str) -> list[str]:
    from graphnas.experiment.folders import home_of, list_experiments

    try:
        return [folder.name for folder in list_experiments(home_of(None)) if folder.name.startswith(incomplete)]
    except GraphNASError:
        return []


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Home = Annotated[
    str | None,
    typer.Option("--home", metavar="DIR", help="Folder of the experiments; else $GRAPHNAS_HOME or its default."),
]
Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="Id of the experiment, its beginning, or the path of its folder.",
        autocompletion=_complete_id,
        show_default=False,
    ),
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="FILE:NAME",
        help="A class, a function that returns a model, or a model: net.py:Net or package.module:Net.",
        show_default=False,
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", metavar="SHAPE", help="Shape of an input, as 1,3,32,32 or 1,16:int64; once for each input."
    ),
]
Arguments = Annotated[
    str | None,
    typer.Option("--arguments", "-a", metavar="JSON", help='Arguments of the class or function, as {"width": 8}.'),
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="FIELD=VALUE", help="Set a field of the configuration, as max_trial_number=50."
    ),
]
