"""The files of NDS as a database, and queries of it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from graphnas.benchmarks.build import build
from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.nds import NdsTrialConfig, query_nds_trial_stats
from graphnas.benchmarks.nds.benchmark import BENCHMARK
from graphnas.errors import BenchmarkError
from tests.benchmarks.nds.jobs import archived, cell_net, job, staged_net

BOTTLENECK = {"bot_muls": [0.0, 0.25, 0.25, 0.25], "num_gs": [1, 2, 1, 2]}
SIZES = {"ws": [16, 64, 128, 16], "ds": (1, 16, 1, 4), "ss": [1, 1.0, 2, 2]}
FILES = {
    "Amoeba.json": {"top": [job(cell_net())], "mid": [job(cell_net(), seed=2)]},
    "DARTS_lr-wd_in.json": [job(cell_net(), optim={"base_lr": 0.2, "wd": 0.001, "max_ep": 3})],
    "PNAS_fix-w-d.json": [],
    "ResNeXt-A.json": [job(staged_net("res_bottleneck_block", **BOTTLENECK))],
    "ResNet_rng2.json": [job(staged_net("res_basic_block"))],
    "Vanilla_reruns.json": [job(staged_net("double_plain_block"))],
}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Build a database of six trials, and let it be the one that is queried."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    report = build(BENCHMARK, [archived(FILES, tmp_path / "data.zip")])
    assert (report.configs, report.trials, report.intermediates) == (5, 6, 18)
    return report.path


@pytest.fixture
def documented(shared_data: Path) -> list[dict[str, Any]]:
    """Return the trials of NDS that NNI's documents show."""
    blocks = json.loads((shared_data / "nni_documented_queries.json").read_text(encoding="utf-8"))["blocks"]
    outputs = [block["output"][0] for block in blocks if isinstance(block["output"], list)]
    return [output for output in outputs if isinstance(output, dict) and "proposer" in output.get("config", {})]


def query(*arguments: Any, **named: Any) -> list[dict[str, Any]]:
    return list(query_nds_trial_stats(*(*arguments, *[None] * (6 - len(arguments))), **named))


@pytest.mark.usefixtures("small")
def test_trials_have_the_documented_form(documented: list[dict[str, Any]]) -> None:
    assert len(documented) == 4
    for wanted in documented:
        found = query(wanted["config"]["model_family"], wanted["config"]["proposer"], include_intermediates=True)[0]
        assert found.keys() - {"intermediates"} == wanted.keys()
        assert found["config"].keys() == wanted["config"].keys()
    (cells,) = (row["config"] for row in documented if row["config"]["model_family"] == "nas_cell")
    found = query("nas_cell", "amoeba", "random", cells["model_spec"], cells["cell_spec"], "cifar10")[0]
    assert found["config"] == cells | {"id": 1, "num_epochs": 3}
    assert (found["parameters"], found["flops"], found["iter_time"]) == (4.190314, 664.400586, 0.281)


@pytest.mark.usefixtures("small")
def test_errors_become_accuracies_and_a_loss_that_is_no_number_is_null() -> None:
    row = query("vanilla", include_intermediates=True)[0]
    assert (row["final_test_acc"], row["best_test_acc"]) == pytest.approx((93.27, 93.37))
    assert (row["final_train_acc"], row["best_train_acc"]) == pytest.approx((89.5, 99.91))
    assert (row["final_train_loss"], row["best_train_loss"]) == (0.006, 0.006)
    assert [epoch["current_epoch"] for epoch in row["intermediates"]] == [1, 2, 3]
    assert [epoch["train_loss"] for epoch in row["intermediates"]] == [1.793, None, 0.006]
    assert [epoch["test_acc"] for epoch in row["intermediates"]] == pytest.approx([41.76, 93.37, 93.27])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("arguments", "proposers"),
    [
        ((), ["amoeba", "amoeba", "darts", "resnext-a", "resnet", "vanilla"]),
        (("nas_cell",), ["amoeba", "amoeba", "darts"]),
        ((None, "darts"), ["darts"]),
        ((None, None, "tune_lr_wd"), ["darts"]),
        ((None, None, None, None, {}), ["resnext-a", "resnet", "vanilla"]),
        ((None, None, None, None, None, "imagenet"), ["darts"]),
        ((None, None, None, {**SIZES, "num_gs": []}), ["resnet", "vanilla"]),
    ],
)
def test_none_is_met_by_anything(arguments: tuple[Any, ...], proposers: list[str]) -> None:
    assert [row["config"]["proposer"] for row in query(*arguments)] == proposers


@pytest.mark.usefixtures("small")
def test_cells_are_found_by_what_they_mean() -> None:
    spec = query("nas_cell")[0]["config"]["cell_spec"]
    swapped = spec | {
        "normal_0_op_x": spec["normal_0_op_y"],
        "normal_0_input_x": spec["normal_0_input_y"],
        "normal_0_op_y": spec["normal_0_op_x"],
        "normal_0_input_y": spec["normal_0_input_x"],
        "reduce_concat": [6, 3],
    }
    assert swapped != spec
    assert len(query(None, None, None, None, swapped)) == 3
    assert query(None, None, None, None, spec | {"normal_0_op_x": "none"}) == []


@pytest.mark.usefixtures("small")
def test_a_mean_is_over_the_trials_of_a_configuration() -> None:
    rows = query("nas_cell", reduction="mean", include_intermediates=True)
    assert [(row["id"], row["seed"], row["config"]["proposer"]) for row in rows] == [
        (None, None, "amoeba"),
        (None, None, "darts"),
    ]
    assert len(rows[0]["intermediates"]) == 3


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        (("cells",), {}, "model_family: expected one of 'nas_cell', "),
        ((None, "google"), {}, "proposer: expected one of "),
        ((None, None, "best"), {}, "generator: expected one of "),
        ((None, None, None, None, None, "cifar100"), {}, "dataset: expected one of 'cifar10', 'imagenet'"),
        ((), {"num_epochs": 100}, "num_epochs: expected one of 3 or None for any, got 100"),
        ((), {"reduction": "max"}, "reduction: expected None, 'none' or 'mean', got 'max'"),
        ((None, None, None, {"depth": 3}), {}, "model_spec: expected num_nodes_normal, "),
        ((None, None, None, {"ds": 3, "ws": [1], "ss": [1]}), {}, "model_spec: ds: expected a list, got 3"),
        ((None, None, None, {"ds": [1.5], "ws": [1], "ss": [1]}), {}, "model_spec: ds: expected int, got 1.5"),
        ((None, None, None, None, {"normal_0_op_x": "conv_9x9"}), {}, "normal_0_op_x: expected one of none, "),
        ((None, None, None, None, {"normal_0_op_z": "none"}), {}, "normal_concat: expected a list, got None"),
    ],
)
def test_what_the_benchmark_has_not_is_refused_at_the_call(
    arguments: tuple[Any, ...], named: dict[str, Any], message: str
) -> None:
    with pytest.raises(BenchmarkError, match=message):
        query_nds_trial_stats(*(*arguments, *[None] * (6 - len(arguments))), **named)


def test_a_folder_is_read_like_the_archive_of_it(tmp_path: Path) -> None:
    archive = archived(FILES, tmp_path / "data.zip")
    with zipfile.ZipFile(archive) as files:
        files.extractall(tmp_path)
    first, second = (
        build(BENCHMARK, [path], directory=tmp_path / str(place))
        for place, path in enumerate((archive, tmp_path / "nds_data"))
    )
    assert first.checksum == second.checksum


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"Amoeba_big.json": []}, "Amoeba_big.json: expected a name such as DARTS_lr-wd_in.json"),
        ({"Amoeba.json": {"top": []}}, "expected a list of trainings, or a dictionary of the lists top and mid"),
        ({"Amoeba.json": [{}]}, "training 0: expected a training of NDS, got another record: KeyError: 'optim'"),
        ({"Amoeba.json": [job(cell_net(), test_ep_top1=[1.0])]}, "expected 3 epochs, got 3, 1 and 3"),
        ({"ResNet.json": [job(staged_net("dense_block"))]}, "training 0: expected a training of NDS"),
        ({"ResNet.json": [job(cell_net()), job(cell_net() | {"width": "wide"})]}, "training 1: .*width: expected int"),
    ],
)
def test_other_files_are_refused(files: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=message):
        build(BENCHMARK, [archived(files, tmp_path / "data.zip")], directory=tmp_path)
    assert not (tmp_path / "nds.db").exists()


def test_a_torn_archive_is_refused(tmp_path: Path) -> None:
    path = archived(FILES, tmp_path / "data.zip")
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BenchmarkError, match=r"data.zip: nds_data/Amoeba.json: is torn: "):
        build(BENCHMARK, [path], directory=tmp_path)


@pytest.mark.usefixtures("small")
def test_the_models_answer_queries_of_their_own() -> None:
    config = NdsTrialConfig.get(NdsTrialConfig.proposer == "resnext-a")
    assert config.model_spec["bot_muls"] == BOTTLENECK["bot_muls"]
    assert config.cell_spec == {}
