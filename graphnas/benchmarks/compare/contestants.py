"""Strategies as text: `random, evolution(population_size=10, sample_size=3), my_package.MyStrategy`."""

from __future__ import annotations

import ast
import pkgutil
from dataclasses import dataclass
from typing import Any

from graphnas import strategy as public
from graphnas.errors import ConfigError
from graphnas.experiment.strategies import Strategy
from graphnas.experiment.strategies.chain import Part

_SHORT = {
    "evolution": "RegularizedEvolution",
    "local": "LocalSearch",
    "grid": "GridSearch",
    "rl": "PolicyBasedRL",
}


@dataclass(frozen=True)
class Contestant:
    """A strategy that takes part, by its text, so that every process can make its own.

    Attributes:
        text: How it was written, which is also how it is called in tables.
        path: Import path of its class.
        arguments: Arguments of the class.
    """

    text: str
    path: str
    arguments: dict[str, Any]

    def build(self) -> Strategy:
        """Return a fresh strategy.

        Raises:
            ConfigError: The class refuses its arguments, or what it makes cannot take part.
        """
        try:
            strategy = pkgutil.resolve_name(self.path)(**self.arguments)
        except TypeError as error:
            raise ConfigError(f"strategies: {self.text}: {error}", field="strategies") from error
        if not isinstance(strategy, Strategy):
            raise ConfigError(f"strategies: {self.text}: expected a strategy, got {strategy!r}", field="strategies")
        if strategy.seed is not None or strategy.optimize_mode != "maximize":
            raise ConfigError(
                f"strategies: {self.text}: leave out seed, which differs from run to run, and optimize_mode: accuracy "
                "is maximised",
                field="strategies",
            )
        return strategy


def read_contestants(text: str) -> tuple[Contestant, ...]:
    """Return the strategies of a text: names with or without arguments, separated by commas.

    A name is that of a class in `graphnas.strategy`, in any case and with or without underscores, a short one
    (`evolution`, `local`, `grid`, `rl`), or the dotted path of a class of yours. Arguments are literals by keyword.

    >>> [contestant.path for contestant in read_contestants("random, evolution(population_size=10, sample_size=3)")]
    ['graphnas.strategy:Random', 'graphnas.strategy:RegularizedEvolution']

    Raises:
        ConfigError: The text has another form, a name is unknown, or a strategy refuses its arguments.
    """
    try:
        body = ast.parse(f"({text},)", mode="eval").body
    except SyntaxError as error:
        raise _wrong(text) from error
    if not isinstance(body, ast.Tuple) or not body.elts:
        raise _wrong(text)
    found = tuple(_contestant(node, text) for node in body.elts)
    for contestant in found:
        contestant.build()
    return found


def _contestant(node: ast.expr, text: str) -> Contestant:
    name: ast.expr = node.func if isinstance(node, ast.Call) else node
    arguments: dict[str, Any] = {}
    if isinstance(node, ast.Call):
        if node.args:
            raise _wrong(text)
        for keyword in node.keywords:
            try:
                arguments[keyword.arg or ""] = ast.literal_eval(keyword.value)
            except ValueError as error:
                raise _wrong(text) from error
    return Contestant(ast.unparse(node), _path(ast.unparse(name), text), arguments)


def _path(name: str, text: str) -> str:
    if "." in name:
        module, _, attribute = name.rpartition(".")
        try:
            pkgutil.resolve_name(f"{module}:{attribute}")
        except (AttributeError, ImportError, ValueError) as error:
            raise ConfigError(f"strategies: {name}: cannot be imported: {error}", field="strategies") from error
        return f"{module}:{attribute}"
    found = {_plain(known): known for known in _public_strategies()}.get(_plain(_SHORT.get(name, name)))
    if found is None:
        raise ConfigError(
            f"strategies: there is no strategy {name!r} in {text!r}; there are {', '.join(_public_strategies())}",
            field="strategies",
        )
    return f"{public.__name__}:{found}"


def _public_strategies() -> list[str]:
    found = []
    for name in sorted({*public.__all__} - {"Strategy"}):
        value = getattr(public, name)
        if isinstance(value, type) and issubclass(value, Strategy) and not issubclass(value, Part):
            found.append(name)
    return found


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _wrong(text: str) -> ConfigError:
    return ConfigError(
        "strategies: expected names with or without arguments by keyword, as in "
        f"'random,evolution(population_size=10,sample_size=3)', got {text!r}",
        field="strategies",
    )
