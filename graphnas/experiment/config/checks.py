"""Judging single values: each check takes the path of a field and a value, and returns the value as it is kept."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeAlias

from graphnas.errors import ConfigError

Check: TypeAlias = Callable[[str, object], Any]
"""Returns the value as it is kept, or raises a `ConfigError` with the path of the field."""

_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(field: str, value: object) -> float:
    """Return seconds for `90`, `'90'`, `'45s'`, `'10m'`, `'1h'` or `'2d'`.

    Raises:
        ConfigError: The value is none of these, or not positive.
    """
    seconds = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)
        if match:
            seconds = float(match.group(1)) * _UNIT_SECONDS[match.group(2) or "s"]
    if not (math.isfinite(seconds) and seconds > 0):
        raise wrong(field, "a positive number of seconds, or a text such as '45s', '10m', '1h'", value)
    return seconds


def wrong(field: str, expected: str, value: object) -> ConfigError:
    """Return the error that says what was expected in a field and what was found."""
    shown = repr(value)
    shown = shown if len(shown) <= 100 else shown[:97] + "..."
    return ConfigError(f"{field}: expected {expected}, got {shown}", field=field)


def unknown(field: str, known: Iterable[str], *, what: str = "field") -> ConfigError:
    """Return the error that says that there is no such field, and which one is meant."""
    names = tuple(known)
    spellings = {name.rpartition(".")[2]: name for name in reversed(names)} | {name: name for name in names}
    near = [spellings[found] for found in get_close_matches(field, spellings, n=1)]
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {listed(names)}" if names else "it takes none"
    return ConfigError(f"{field}: there is no such {what}; {hint}", field=field)


def listed(names: Iterable[str]) -> str:
    """Return names in quotes, with commas between them."""
    return ", ".join(repr(name) for name in names)


def optional(check: Check) -> Check:
    """Return a check that lets None pass."""
    return lambda field, value: None if value is None else check(field, value)


def duration(field: str, value: object) -> object:
    """Return a duration as it was written."""
    parse_duration(field, value)
    return value


def whole(least: int | None) -> Check:
    """Return a check for whole numbers, of at least `least` if that is not None."""
    expected = "a whole number" if least is None else f"a whole number of at least {least}"

    def check(field: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
            raise wrong(field, expected, value)
        return value

    return check


def amount(field: str, value: object) -> float:
    """Return a number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise wrong(field, "a number above 0", value)
    return value


def flag(field: str, value: object) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise wrong(field, "True or False", value)
    return value


def text(field: str, value: object) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise wrong(field, "a text that is not empty", value)
    return value


def folder(field: str, value: object) -> str:
    """Return a path as a text."""
    return text(field, os.fspath(value) if isinstance(value, os.PathLike) else value)


def one_of(*allowed: str) -> Check:
    """Return a check for a text that is one of `allowed`."""

    def check(field: str, value: object) -> str:
        if value not in allowed:
            raise wrong(field, f"one of {listed(allowed)}", value)
        return str(value)

    return check


def indices(field: str, value: object) -> list[int]:
    """Return distinct indices, given as one, as a list, or as a text such as `'0,2'`."""
    found: list[Any] = [value]
    if isinstance(value, str) and re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*", value):
        found = [int(part) for part in value.split(",")]
    elif isinstance(value, list | tuple):
        found = list(value)
    good = all(isinstance(index, int) and not isinstance(index, bool) and index >= 0 for index in found)
    if not found or not good or len(set(found)) != len(found):
        raise wrong(field, "distinct indices from 0, as 1, [0, 1] or '0,1'", value)
    return found


def json_mapping(field: str, value: object) -> dict[str, Any]:
    """Return a dictionary whose keys are texts and that can be written as JSON."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise wrong(field, "a dictionary with texts as keys", value)
    try:
        json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{field}: cannot be written as JSON: {error}", field=field) from error
    return dict(value)


def amounts(field: str, value: object) -> dict[str, float]:
    """Return a dictionary of numbers above zero."""
    found = json_mapping(field, value)
    return {name: amount(f"{field}.{name}", item) for name, item in found.items()}


def check_arguments(field: str, function: Any, arguments: Mapping[str, Any], leading: int = 0) -> None:
    """Refuse arguments that a function does not take, or lacks; the first `leading` ones come from elsewhere.

    Raises:
        ConfigError: There are such; the path names which.
    """
    name = getattr(function, "__qualname__", repr(function))
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # of C, and without a signature
    parameters = list(signature.parameters.values())[leading:]
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        names = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]
        for given in arguments:
            if given not in names:
                raise unknown(f"{field}.{given}", [f"{field}.{known}" for known in names], what=f"argument of {name}")
    for parameter in parameters:
        is_named = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if is_named and parameter.default is parameter.empty and parameter.name not in arguments:
            path = f"{field}.{parameter.name}"
            raise ConfigError(f"{path}: is missing; {name} needs it", field=path)
