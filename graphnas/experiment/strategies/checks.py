"""Checks of the arguments of strategies, each of which returns the argument as it is to be kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphnas.errors import ConfigError


def whole(name: str, value: object, least: int = 1) -> int:
    """Return a whole number of at least `least`.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name}: expected a whole number of at least {least}, got {value!r}", field=name)
    return value


def number(name: str, value: object, above: float) -> float:
    """Return a number greater than `above`.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < float("inf"):
        raise ConfigError(f"{name}: expected a number greater than {above}, got {value!r}", field=name)
    return value


def probability(name: str, value: object) -> float:
    """Return a number from 0 to 1.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"{name}: expected a number from 0 to 1, got {value!r}", field=name)
    return value


def flag(name: str, value: object) -> bool:
    """Return True or False.

    Raises:
        ConfigError: It is neither.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name}: expected True or False, got {value!r}", field=name)
    return value


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> str:
    """Return one of several texts.

    Raises:
        ConfigError: It is none of them.
    """
    if value not in allowed:
        raise ConfigError(f"{name}: expected {' or '.join(map(repr, allowed))}, got {value!r}", field=name)
    return str(value)


def predicate(name: str, value: object) -> Callable[[Mapping[str, Any]], object] | None:
    """Return a function of decisions, or None.

    Raises:
        ConfigError: It is neither.
    """
    if value is None or callable(value):
        return value
    raise ConfigError(f"{name}: expected a function of the decisions, or None, got {value!r}", field=name)
