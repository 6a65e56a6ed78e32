"""Architectures of NAS-Bench-201 in all their forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graphnas.benchmarks.nasbench201 import architecture
from graphnas.errors import UnknownArchitectureError

ARCH = {
    "0_1": "avg_pool_3x3",
    "0_2": "conv_1x1",
    "1_2": "skip_connect",
    "0_3": "none",
    "1_3": "skip_connect",
    "2_3": "conv_3x3",
}
STRING = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|skip_connect~1|nor_conv_3x3~2|"


def test_every_form_leads_to_every_other() -> None:
    decisions = {f"cell/{edge}": name for edge, name in ARCH.items()}
    assert architecture.to_string(ARCH) == STRING
    assert architecture.from_string(STRING) == ARCH
    assert architecture.to_decisions(ARCH) == architecture.to_decisions(STRING) == decisions
    assert architecture.from_decisions(decisions) == ARCH


def test_the_order_of_edges_does_not_count() -> None:
    assert list(architecture.checked_arch(dict(sorted(ARCH.items())))) == list(ARCH)


def test_all_strings_of_the_benchmark_are_read(shared_table: Callable[[str], list[dict[str, str]]]) -> None:
    strings = [row["arch_str"] for row in shared_table("nasbench201.csv.xz")]
    assert len(set(strings)) == 15_625
    assert [architecture.to_string(architecture.from_string(text)) for text in strings] == strings


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ({**ARCH, "2_3": "conv_5x5"}, "edge '2_3': expected one of none, .*, got 'conv_5x5'"),
        ({**ARCH, "3_4": "none"}, "expected the edges 0_1, .*, got .*3_4"),
        ({"0_1": "none"}, "expected the edges 0_1, .*, got 0_1"),
        ("|none~0|", "expected a string such as"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|dil_conv~2|", "edge '2_3'"),
        (3, "expected a dictionary of edge to operation or a string"),
    ],
)
def test_what_is_not_in_the_space_is_refused(arch: Any, message: str) -> None:
    with pytest.raises(UnknownArchitectureError, match=message):
        architecture.to_decisions(arch)


def test_decisions_of_another_space_are_refused() -> None:
    with pytest.raises(UnknownArchitectureError, match=r"expected the labels cell/0_1, .*, got width"):
        architecture.from_decisions({"width": 3})
