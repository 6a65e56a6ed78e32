"""YAML of configurations: read without running anything, and with every key at most once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from graphnas.errors import ConfigError


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML comes without types
    """Refuses a key that stands twice in one mapping; YAML itself would forget the first."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping of a YAML file.

    Raises:
        ConfigError: The file cannot be read, is no YAML, or holds something else than a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.load(text, _Loader)  # a subclass of SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    data = {} if data is None else data
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ConfigError(f"{path}: expected a mapping of fields, got {type(data).__name__}")
    return data


def write_mapping(path: Path, data: Mapping[str, Any]) -> None:
    """Write a mapping as a YAML file, in its own order.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        path.write_text(yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from error


def in_own_spelling(data: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return a mapping whose keys are spelt as in `known`, where they differ in case and underscores only.

    So `trialConcurrency` of the predecessor's files is read as `trial_concurrency`.

    Raises:
        ConfigError: Two keys mean the same.
    """
    spellings = {_folded(name): name for name in known}
    found: dict[str, Any] = {}
    for key, value in data.items():
        name = spellings.get(_folded(key), key)
        if name in found:
            raise ConfigError(f"{name}: is given twice, in two spellings", field=name)
        found[name] = value
    return found


def _folded(name: str) -> str:
    return name.replace("_", "").lower()
