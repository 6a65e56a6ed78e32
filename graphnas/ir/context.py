"""What is in force while a model is being constructed: fixed decisions, and the namespace that numbers labels.

Contexts are per thread and per task (`contextvars`), so models built side by side do not see each other's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from graphnas.errors import GraphNASError

_STACKS: ContextVar[tuple[tuple[str, Any], ...]] = ContextVar("graphnas_contexts", default=())


class NoContextError(GraphNASError):
    """Something was asked for that exists only inside a context, such as a label outside a wrapped model."""


class ContextStack:
    """Puts a value on the stack named `key` for the time of a `with` block; the innermost value counts.

    >>> with ContextStack("fixed", {"width": 16}):
    ...     ContextStack.top("fixed")
    {'width': 16}
    """

    def __init__(self, key: str, value: Any) -> None:
        self.key = key
        self.value = value

    def __enter__(self) -> Any:
        _STACKS.set((*_STACKS.get(), (self.key, self.value)))
        return self.value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _STACKS.set(_STACKS.get()[:-1])

    @staticmethod
    def top(key: str) -> Any:
        """Return the innermost value of `key`.

        Raises:
            NoContextError: No such context is in force.
        """
        for name, value in reversed(_STACKS.get()):
            if name == key:
                return value
        raise NoContextError(
            f"no {key!r} context is in force; this works inside `with ContextStack({key!r}, ...)` only"
        )

    @staticmethod
    def get(key: str, default: Any = None) -> Any:
        """Return the innermost value of `key`, or `default` where there is none."""
        return next((value for name, value in reversed(_STACKS.get()) if name == key), default)


def get_current_context(key: str) -> Any:
    """Return the innermost value of `key`: of `fixed`, the decisions in force, label to value.

    Raises:
        NoContextError: No such context is in force.
    """
    return ContextStack.top(key)


class ModelNamespace:
    """Numbers the labels that nobody gave, the same way in every run.

    The first label of a model is `model_1`, the next `model_2`; inside a wrapped model within it they are `model_1_1`
    and so on: each nested namespace takes one number of the namespace around it.
    """

    KEY = "model_namespace"

    def __init__(self, name: str = "model", outer: ModelNamespace | None = None) -> None:
        self.name = name
        self.root: ModelNamespace = outer.root if outer is not None else self
        """The outermost namespace: one per construction, so what must be unique in a model can be kept by it."""
        self.count = 0
        """How many numbers are taken."""

    def number(self) -> str:
        """Return the next label of this namespace."""
        self.count += 1
        return f"{self.name}_{self.count}"

    @classmethod
    def next_label(cls) -> str:
        """Return the next label of the model that is being constructed.

        Raises:
            NoContextError: No model is being constructed under `model_wrapper` or `recording`.
        """
        return cls.current_context().number()

    @classmethod
    def current_context(cls) -> ModelNamespace:
        """Return the innermost namespace.

        Raises:
            NoContextError: No model is being constructed under `model_wrapper` or `recording`.
        """
        namespace = ContextStack.get(cls.KEY)
        if namespace is None:
            raise NoContextError(
                "a label can only be numbered while a model is constructed; decorate the class of the model with "
                "@graphnas.model_wrapper, construct it inside `with graphnas.recording():`, or pass label='...'"
            )
        return namespace  # type: ignore[no-any-return]  # the stack holds what `enter` put there

    @classmethod
    @contextmanager
    def enter(cls) -> Iterator[ModelNamespace]:
        """Open a namespace: the outermost one, or one nested in the current one."""
        outer = ContextStack.get(cls.KEY)
        namespace = cls(outer.number(), outer) if outer is not None else cls()
        with ContextStack(cls.KEY, namespace):
            yield namespace
