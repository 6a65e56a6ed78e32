"""The command line: a thin layer that reads arguments, calls what the library offers, and prints.

`app` lists the commands and says what an exit code means; `experiments` reads what was run, `running` runs, `models`
traces and draws, `doctor` looks at the installation. `plan` reads the files that describe a run, `named` finds code by
name, `output` prints. Commands that only read import no torch.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line with the arguments of the process."""
    from graphnas.cli.app import app  # so that importing this package costs nothing

    app(prog_name="graphnas")
