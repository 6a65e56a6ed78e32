"""The commands of `graphnas`, and what they have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from graphnas.cli import doctor, experiments, models, running
from graphnas.version import __version__

_EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 experiment not found or unreadable, "
    "4 no trial completed, 130 interrupted, 143 terminated."
)

app = typer.Typer(
    name="graphnas",
    help="Search architectures of PyTorch models, and look at what was found.",
    epilog=_EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"graphnas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


_FORWARDS = {"allow_extra_args": True, "ignore_unknown_options": True}

app.command("run", context_settings=_FORWARDS)(running.run)
app.command("resume")(running.resume)
app.command("ls")(experiments.ls)
app.command("show")(experiments.show)
app.command("view")(experiments.view)
app.command("export")(experiments.export)
app.command("stop")(experiments.stop)
app.command("rm")(experiments.rm)
app.command("trace")(models.trace)
app.command("draw")(models.draw)
app.command("doctor")(doctor.doctor)


@app.command("bench", context_settings=_FORWARDS, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Build, verify and list databases of benchmarks: see `graphnas bench --help`."""
    from graphnas.benchmarks.cli import app as benchmarks  # an application of its own, loaded when it is asked for

    benchmarks(args=context.args, prog_name="graphnas bench")
