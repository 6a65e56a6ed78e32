"""How commands print JSON, and how they end."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NoReturn, TypeVar

import typer

from graphnas.errors import ConfigError, EvaluationError, GraphNASError, StoreError

FAILED, WRONG_USAGE, NOT_THERE, NONE_COMPLETED, INTERRUPTED = 1, 2, 3, 4, 130
"""Exit codes besides 0; `docs/cli.md` explains them."""

_CODES: tuple[tuple[type[GraphNASError], int], ...] = (
    (ConfigError, WRONG_USAGE),
    (StoreError, NOT_THERE),
    (EvaluationError, NONE_COMPLETED),
    (GraphNASError, FAILED),
)
_C = TypeVar("_C", bound=Callable[..., Any])


def command(function: _C) -> _C:
    """Return a command that ends with the exit code of its error, said on stderr or, with `--json`, as JSON."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except GraphNASError as error:
            _end(error, next(code for kind, code in _CODES if isinstance(error, kind)), kwargs.get("as_json", False))
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # as in `graphnas ls | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that nothing fails at the end
            raise typer.Exit(FAILED) from None

    return run  # type: ignore[return-value]  # functools.wraps keeps the signature


def _end(error: GraphNASError, code: int, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"error": {"kind": type(error).__name__, "message": str(error), "exit_code": code}})
    else:
        print(f"graphnas: {error}", file=sys.stderr)
    raise typer.Exit(code) from error


def print_json(data: Any) -> None:
    """Print data as JSON, indented, with nothing that JSON does not know."""
    print(json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False))


@contextmanager
def human_output_aside(as_json: bool) -> Iterator[None]:
    """Send what is printed for people to stderr while the output is to be JSON."""
    if not as_json:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield
