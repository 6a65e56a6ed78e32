"""The published tables of NAS-Bench-201 as a database."""

from __future__ import annotations

import gzip
import json
import lzma
import sqlite3
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from graphnas.benchmarks.build import build
from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.nasbench201 import Table, query_nb201_trial_stats
from graphnas.benchmarks.nasbench201.architecture import from_string
from graphnas.benchmarks.nasbench201.benchmark import BENCHMARK
from graphnas.errors import BenchmarkError


@pytest.fixture
def opened(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the whole benchmark be what is queried."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(whole))
    return whole


def test_the_whole_benchmark_meets_the_published_facts(opened: Path) -> None:
    with sqlite3.connect(opened / "nasbench201.db") as connection:
        facts = list(BENCHMARK.facts(connection))
    assert [fact.found for fact in facts] == ["15,625", "94.37 %", "73.51 %", "47.31 %"]
    assert all(fact.holds for fact in facts)


@pytest.mark.usefixtures("opened")
def test_every_cell_of_the_table_is_found_again(shared_table: Callable[[str], list[dict[str, str]]]) -> None:
    table = Table.open()
    for row in shared_table("nasbench201.csv.xz")[::50]:
        found = table.metrics(row["arch_str"], "cifar10-valid", 200)
        assert found["config"]["arch"] == from_string(row["arch_str"])
        assert found["valid_acc"] == pytest.approx(float(row["c10_valid_200"]), abs=1e-5)
        assert found["parameters"] == int(row["params_c10"]) / 1e6
        assert found["flops"] == float(row["flops_c10_m"])
        assert table.metrics(row["arch_str"], "cifar10", 200)["test_acc"] == pytest.approx(
            float(row["c10_test_200"]), abs=1e-5
        )


@pytest.mark.usefixtures("opened")
def test_documented_queries_are_answered_with_the_documented_values(shared_data: Path) -> None:
    documented = json.loads((shared_data / "nni_documented_queries.json").read_text(encoding="utf-8"))
    (expected,) = (
        block["output"]
        for block in documented["blocks"]
        if isinstance(block["output"], list)
        and isinstance(block["output"][0], dict)
        and block["output"][0].get("config", {}).get("dataset") == "cifar100"
    )
    for wanted, found in zip(
        expected, query_nb201_trial_stats(expected[0]["config"]["arch"], 200, "cifar100"), strict=True
    ):
        assert found.keys() == wanted.keys()
        assert found["config"] | {"id": 0} == wanted["config"] | {"id": 0}
        for field in found.keys() - {"id", "config"}:
            assert found[field] == pytest.approx(wanted[field], abs=1e-6)


@pytest.mark.usefixtures("opened")
def test_no_validation_split_is_made_up_for_cifar10() -> None:
    arch = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    for row in query_nb201_trial_stats(arch, 200, "cifar10"):
        assert row["valid_acc"] is row["valid_loss"] is row["valid_evaluation_time"] is None
        assert row["test_acc"] == row["ori_test_acc"]


@pytest.mark.usefixtures("opened")
def test_epochs_are_counted_from_one_and_the_mean_is_over_trials() -> None:
    arch = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    rows = list(query_nb201_trial_stats(arch, None, "imagenet16-120", include_intermediates=True))
    assert [len(row["intermediates"]) for row in rows] == [12, 200, 200, 200]
    for row in rows:
        last = row["intermediates"][-1]
        assert last["current_epoch"] == row["config"]["num_epochs"]
        assert {name: row[name] for name in last if name not in ("id", "current_epoch")} == {
            name: value for name, value in last.items() if name not in ("id", "current_epoch")
        }
    (mean,) = query_nb201_trial_stats(arch, 200, "imagenet16-120", reduction="mean", include_intermediates=True)
    assert [epoch["current_epoch"] for epoch in mean["intermediates"]] == list(range(1, 201))
    assert mean["intermediates"][-1]["test_acc"] == pytest.approx(mean["test_acc"])


@pytest.mark.usefixtures("opened")
def test_one_trial_is_filled_in_only_where_it_is_told_from_its_fellows() -> None:
    arch = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
    trials = list(query_nb201_trial_stats(arch, 200, "cifar10"))
    assert len(trials) == 3
    assert sum(trial["train_acc"] is not None for trial in trials) == 1
    (mean,) = query_nb201_trial_stats(arch, 200, "cifar100")
    assert mean["train_acc"] is None
    (single,) = query_nb201_trial_stats(arch, 12, "cifar100")
    assert single["train_loss"] is not None


@pytest.mark.usefixtures("opened")
def test_estimated_times_count_for_the_cost_but_stay_out_of_the_columns() -> None:
    table = Table.open()
    measured = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    assert table.cost_s(measured, "cifar10-valid", 12) == pytest.approx(12 * 7.221092998981476 + 2.5489792369660877)
    estimated = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    (row,) = query_nb201_trial_stats(estimated, 12, "cifar100")
    assert row["valid_evaluation_time"] is None
    assert table.cost_s(estimated, "cifar100", 12) > row["training_time"]


@pytest.mark.usefixtures("opened")
def test_latencies_on_devices_are_kept_apart_from_the_benchmarks_own() -> None:
    arch = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    found = Table.open().device_latency_ms(arch)
    assert (len(found), found["1080ti_256"], found["raspi4"]) == (27, 17.255, 10.482)
    assert {row["latency"] for row in query_nb201_trial_stats(arch, 200, "cifar100")} == {0.013182918230692545}


def test_the_order_of_the_tables_does_not_matter(shared_data: Path, tmp_path: Path) -> None:
    with lzma.open(shared_data / "nasbench201.csv.xz", "rt") as means:
        (tmp_path / "means.csv").write_text("".join(islice(means, 21)))
    with gzip.open(shared_data / "nasbench201_c10_trials.csv.gz", "rt") as trials:
        kept = [line for line in islice(trials, 100) if line.partition(",")[0] in ("index", *map(str, range(20)))]
        (tmp_path / "trials.csv").write_text("".join(kept))
    first, second = (
        build(BENCHMARK, [tmp_path / name for name in order], directory=tmp_path / str(place))
        for place, order in enumerate((("means.csv", "trials.csv"), ("trials.csv", "means.csv")))
    )
    assert first.checksum == second.checksum
    assert (first.configs, first.trials) == (160, 140 + len(kept) - 1)


def test_tables_that_need_another_are_refused_without_it(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"by their index in nasbench201.csv.xz; give that table as well"):
        build(BENCHMARK, [shared_data / "nasbench201_c10_trials.csv.gz"], directory=tmp_path)
    with pytest.raises(BenchmarkError, match="whole trials and of their curves need each other; give both"):
        build(
            BENCHMARK,
            [shared_data / "nasbench201.csv.xz", shared_data / "natsbench_tss_3archs_trials.csv"],
            directory=tmp_path,
        )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("avg_pool_3x3", "max_pool_3x3", r"means.csv: cell 0: arch: edge '0_1': expected one of .*got 'max_pool_3x3'"),
        ("129306", "many", r"means.csv: expected a number, got 'many'; the table is torn"),
        ("129306", "1293.5", r"means.csv: expected a whole number, got '1293.5'; the table is torn"),
        ("\n1,", "\n2,", r"means.csv: expected the cells in their order, got 2 at 1"),
        (",28.211111,", ",", r"means.csv:2: expected 24 fields, got 23; the table is torn"),
    ],
)
def test_a_torn_table_is_refused(old: str, new: str, message: str, shared_data: Path, tmp_path: Path) -> None:
    with lzma.open(shared_data / "nasbench201.csv.xz", "rt") as means:
        text = "".join(islice(means, 4))
    assert old in text
    (tmp_path / "means.csv").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BenchmarkError, match=message):
        build(BENCHMARK, [tmp_path / "means.csv"], directory=tmp_path)


def test_a_compressed_table_that_ends_too_early_is_refused(shared_data: Path, tmp_path: Path) -> None:
    data = (shared_data / "nasbench201.csv.xz").read_bytes()
    (tmp_path / "means.csv.xz").write_bytes(data[: len(data) // 2])
    with pytest.raises(BenchmarkError, match=r"means.csv.xz: is torn: .*; get it again"):
        build(BENCHMARK, [tmp_path / "means.csv.xz"], directory=tmp_path)
