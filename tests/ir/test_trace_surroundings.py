"""What a forward keeps from call to call elsewhere than in attributes of modules: found harmless, or refused."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphnas.errors import TraceError
from graphnas.ir.trace import trace
from tests.codegen.roundtrip import roundtrip

COUNT = [0]


class Kept:
    def __init__(self) -> None:
        self.calls = 0
        self.last: Tensor | None = None


class Net(nn.Module):
    """Computes by what it keeps in places that are given to it."""

    calls = 0

    def __init__(self, compute: Callable[[Net, Tensor], Any]) -> None:
        super().__init__()
        self.config = {"inner": {"calls": 0}}
        self.kept = Kept()
        self.queue: deque[Tensor] = deque(maxlen=2)
        self.generator = random.Random(0)
        self.compute = compute

    def forward(self, x: Tensor) -> Any:
        return self.compute(self, x)


def in_dictionary(net: Net, x: Tensor) -> Tensor:
    net.config["inner"]["calls"] += 1
    return x + net.config["inner"]["calls"]


def in_object(net: Net, x: Tensor) -> Tensor:
    net.kept.calls += 1
    return x + net.kept.calls


def in_class(net: Net, x: Tensor) -> Tensor:
    type(net).calls += 1
    return x + net.calls


def in_global(net: Net, x: Tensor) -> Tensor:
    COUNT[0] += 1
    return x + COUNT[0]


def in_generator(net: Net, x: Tensor) -> Tensor:
    return x * net.generator.random()


def in_queue(net: Net, x: Tensor) -> Tensor:
    net.queue.append(x.mean(0))
    return x + torch.stack(tuple(net.queue)).sum(0)


def last_result(net: Net, x: Tensor) -> Tensor:
    y = x if net.kept.last is None else x + net.kept.last.mean()
    net.kept.last = x
    return y


def first_result(net: Net, x: Tensor) -> Tensor:
    if net.kept.last is None:
        net.kept.last = x.mean(0)
    return x - net.kept.last


def steps(net: Net, x: Tensor) -> Tensor:
    net.kept.last = torch.zeros(3) if net.kept.last is None else net.kept.last + 1
    return x + net.kept.last


@pytest.mark.parametrize(
    ("compute", "name"),
    [
        (in_dictionary, "'config'"),
        (in_object, "'kept'"),
        (in_class, "'Net.calls'"),
        (in_global, r"'tests.ir.test_trace_surroundings.COUNT'"),
        (in_generator, "'generator'"),
        (in_queue, "'queue'"),
        (last_result, "'kept'"),
        (first_result, "'kept'"),
        (steps, "'kept'"),
    ],
)
def test_what_makes_a_second_call_compute_something_else_is_refused_by_name(
    compute: Callable[[Net, Tensor], Any], name: str
) -> None:
    with pytest.raises(TraceError, match=f"the root Net keeps {name} from call to call"):
        trace(Net(compute), torch.randn(2, 3))


def test_a_tensor_of_the_first_call_in_an_attribute_is_no_cache() -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.shift is None:
                self.shift = x.mean(0)
            return x - self.shift

    with pytest.raises(TraceError, match="the root First keeps 'shift' from call to call"):
        trace(First(), torch.randn(2, 3))


def cached(net: Net, x: Tensor) -> Tensor:
    if net.kept.last is None:
        net.kept.last = torch.arange(x.shape[1]).to(x) + x.new_full((x.shape[1],), 2.0)
    net.kept.calls += 1
    return x - net.kept.last


def test_caches_and_counters_that_change_nothing_are_let_through() -> None:
    roundtrip(lambda: Net(cached), torch.randn(2, 3))


def test_a_seed_that_a_forward_sets_is_refused_and_undone() -> None:
    def seeded(net: Net, x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return x + torch.rand(3)

    before = torch.get_rng_state()
    with pytest.raises(TraceError, match="the root Net uses a seed of its own for torch"):
        trace(Net(seeded), torch.randn(2, 3, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), before)


def notes_of(compute: Callable[[Net, Any], Any], given: Any) -> tuple[str, ...]:
    report = trace(Net(compute), (given,)).report
    assert report is not None
    return report.notes


def test_the_report_says_that_inputs_are_changed_and_the_source_leaves_them() -> None:
    def changing(net: Net, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        batch["y"] = batch["x"] * 2
        return batch

    def reading(net: Net, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**batch, "y": batch["x"] * 2}

    note = "lists or dictionaries that the model is given, and changes, are as before in the source"
    assert note in notes_of(changing, {"x": torch.randn(2, 3)})
    assert note not in notes_of(reading, {"x": torch.randn(2, 3)})


def test_the_report_says_where_code_asks_for_gradients() -> None:
    def asking(net: Net, x: Tensor) -> Tensor:
        return x * 2 if x.requires_grad else x

    assert "a value of the forward is taken to require no gradients" in notes_of(asking, torch.randn(2, 3))[0]
