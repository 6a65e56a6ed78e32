"""What a trial saves of itself: tensors and plain values in one file, without a pickle.

A checkpoint is a `.safetensors` file whose metadata holds, as JSON, how its tensors are nested and the values between
them. One file, so that it is replaced at once or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphnas.errors import ExperimentError

CHECKPOINT_NAME = "checkpoint.safetensors"
"""Name of the file in a trial's folder that holds its checkpoint."""

_STATE, _VALUES = "graphnas_state", "graphnas_values"


def write_checkpoint(path: Path, state: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Write a checkpoint, in place of the one that is there.

    Args:
        path: The file.
        state: Tensors by name, or mappings and lists of them to any depth, such as a `state_dict` of an optimizer.
        values: Plain values by name, such as the number of epochs.

    Raises:
        ExperimentError: Something in it is neither a tensor, a plain value, nor a mapping or list of these, or the file
            cannot be written.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    metadata = {
        _STATE: json.dumps(_taken_apart(dict(state), "state", tensors)),
        _VALUES: json.dumps(_taken_apart(dict(values), "values", {})),
    }
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, draft, metadata)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ExperimentError(f"{path}: the checkpoint cannot be written: {error}") from error


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state and the values that `write_checkpoint` wrote, the tensors on the CPU.

    Raises:
        ExperimentError: There is no checkpoint, or the file is damaged or of another make.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        return _put_together(json.loads(metadata[_STATE]), tensors), _put_together(json.loads(metadata[_VALUES]), {})
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ExperimentError(f"{path}: the checkpoint cannot be read: {type(error).__name__}: {error}") from error


def _taken_apart(value: Any, where: str, tensors: dict[str, Any]) -> Any:
    """Return the JSON form of a value, whose tensors go to `tensors` under numbers."""
    import torch

    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()  # a copy, since tied tensors share memory
        return {"tensor": name}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        pairs = []
        for key, item in value.items():
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise _unfit(where, f"the key {key!r}")
            pairs.append([key, _taken_apart(item, f"{where}[{key!r}]", tensors)])
        return {"mapping": pairs}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_taken_apart(item, f"{where}[{index}]", tensors) for index, item in enumerate(value)]}
    raise _unfit(where, f"{type(value).__name__}")


def _put_together(form: Any, tensors: Mapping[str, Any]) -> Any:
    if not isinstance(form, dict):
        return form
    ((kind, content),) = form.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "mapping":
        return {key: _put_together(item, tensors) for key, item in content}
    items = [_put_together(item, tensors) for item in content]
    return items if kind == "list" else tuple(items)


def _unfit(where: str, got: str) -> ExperimentError:
    return ExperimentError(
        f"save_checkpoint: {where}: expected a tensor, a number, a text, None, or mappings (by text or number) and "
        f"lists of these, got {got}; save its state_dict() or its numbers"
    )
