from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from graphnas.errors import ExperimentError
from graphnas.experiment.checkpoint import read_checkpoint, write_checkpoint


def test_nested_state_comes_back_as_it_was(tmp_path: Path) -> None:
    weight = torch.arange(4.0).reshape(2, 2)
    state = {"a": weight, "tied": weight, "view": weight.t(), "deep": {0: [torch.tensor(1), (None, True, "x", 0.5)]}}
    write_checkpoint(tmp_path / "c", state, {"epoch": 2, "history": [0.25, 0.5]})
    read, values = read_checkpoint(tmp_path / "c")
    assert str(read) == str(state)
    assert torch.equal(read["view"], weight.t())
    assert values == {"epoch": 2, "history": [0.25, 0.5]}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"model": torch.nn.Linear(1, 1)}, r"state\['model'\]: expected a tensor.*got Linear; save its state_dict"),
        ({"a": {(1, 2): 3}}, r"state\['a'\]: .*got the key \(1, 2\)"),
        ({"a": [object()]}, r"state\['a'\]\[0\]: .*got object"),
    ],
)
def test_what_only_a_pickle_could_hold_is_refused(tmp_path: Path, state: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        write_checkpoint(tmp_path / "c", state, {})
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path / "c", {"w": torch.zeros(2)}, {})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ExperimentError, match=r"the checkpoint cannot be written: .*No space left"):
        write_checkpoint(tmp_path / "c", {"w": torch.ones(2)}, {})
    assert torch.equal(read_checkpoint(tmp_path / "c")[0]["w"], torch.zeros(2))
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_damaged_checkpoint_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"not a checkpoint")
    with pytest.raises(ExperimentError, match=r"c: the checkpoint cannot be read: SafetensorError"):
        read_checkpoint(tmp_path / "c")
    with pytest.raises(ExperimentError, match="absent: the checkpoint cannot be read: FileNotFoundError"):
        read_checkpoint(tmp_path / "absent")
