"""The base of everything that has fields: a field is declared once, and checked whenever it is set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from graphnas.errors import ConfigError
from graphnas.experiment.config.checks import Check, unknown


@dataclass(frozen=True)
class Field:
    """What a field may hold, and what it holds when nothing is said."""

    check: Check
    default: Any = None


@dataclass(frozen=True)
class Foreign:
    """A field that other tools have and that means nothing here.

    Attributes:
        reason: Why, and what to do instead; follows `must not be set: `.
        harmless: Values that say the same as not setting it; they are accepted and forgotten.
    """

    reason: str
    harmless: tuple[object, ...] = ()


class Fields:
    """Values by name; a subclass declares `fields` and, for whoever reads it, annotates them.

    Raises:
        ConfigError: A field is unknown (the message names the nearest), foreign, or of a wrong type or value.
    """

    fields: ClassVar[Mapping[str, Field]] = {}
    foreign: ClassVar[Mapping[str, Foreign]] = {}
    path: ClassVar[str] = ""
    """What the names of the fields begin with in messages, as in `training_service.`."""

    def __init__(self, **given: Any) -> None:
        for name, value in self.usual().items():
            object.__setattr__(self, name, value)
        for name, value in given.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        stand_in = getattr(type(self), name, None)
        if isinstance(stand_in, property) and stand_in.fset is not None:
            object.__setattr__(self, name, value)
            return
        foreign = self.foreign.get(name)
        if foreign is not None:
            if not any(value is same or (type(value) is type(same) and value == same) for same in foreign.harmless):
                raise ConfigError(f"{self.path}{name}: must not be set: {foreign.reason}", field=f"{self.path}{name}")
            return
        if name not in self.fields:
            raise unknown(f"{self.path}{name}", self.known_paths())
        object.__setattr__(self, name, self.fields[name].check(f"{self.path}{name}", value))

    @classmethod
    def usual(cls) -> dict[str, Any]:
        """Return what each field holds when nothing is said."""
        return {name: field.default for name, field in cls.fields.items()}

    def known_paths(self) -> Iterable[str]:
        """Return the paths that a wrong one is compared with."""
        return [f"{self.path}{name}" for name in self.fields]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # mutable, compared by value

    def __repr__(self) -> str:
        held = ((name, getattr(self, name), usual) for name, usual in self.usual().items())
        changed = (f"{name}={value!r}" for name, value, usual in held if value != usual)
        return f"{type(self).__name__}({', '.join(changed)})"

    def to_json(self) -> dict[str, Any]:
        """Return every field with its value."""
        values = {name: getattr(self, name) for name in self.fields}
        return {name: value.to_json() if isinstance(value, Fields) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_json` described."""
        return cls(**data)
