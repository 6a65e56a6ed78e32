"""The original files of NAS-Bench-101."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from graphnas.benchmarks.build import build
from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.nasbench101 import query_nb101_trial_stats
from graphnas.benchmarks.nasbench101.benchmark import BENCHMARK
from graphnas.errors import BenchmarkError
from tests.benchmarks.formats.test_tfrecords import framed


def test_the_original_layout_gives_every_budget_and_run(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    report = build(BENCHMARK, [shared_data / "samples" / "nasbench101" / "reencoded_5_archs.tfrecord"])
    assert (report.configs, report.trials, report.intermediates) == (18, 52, 104)
    for module in json.loads((shared_data / "nasbench101_full_records.json").read_text(encoding="utf-8")):
        for epochs, runs in module["computed"].items():
            found = list(query_nb101_trial_stats(None, int(epochs), include_intermediates=True))
            found = [row for row in found if row["config"]["hash"] == module["hash"]]
            assert len(found) == len(runs) == 3
            for row, run in zip(found, runs, strict=True):
                assert row["parameters"] == module["trainable_parameters"] / 1e6
                assert row["test_acc"] == 100 * run["final_test_accuracy"]
                assert row["training_time"] == run["final_training_time"]
                halfway, final = row["intermediates"]
                assert (halfway["current_epoch"], final["current_epoch"]) == (int(epochs) // 2, int(epochs))
                assert halfway["valid_acc"] == 100 * run["halfway_validation_accuracy"]
                assert final["train_acc"] == row["train_acc"] == 100 * run["final_train_accuracy"]


def test_a_genuine_record_is_read(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = json.loads((shared_data / "samples" / "nasbench101" / "genuine_raw_metrics.json").read_text())
    (tmp_path / "one.tfrecord").write_bytes(framed(json.dumps(genuine["record"]).encode()))
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    build(BENCHMARK, [tmp_path / "one.tfrecord"])
    (row,) = query_nb101_trial_stats(None, None, include_intermediates=True)
    assert row["config"]["hash"] == genuine["record"][0]
    assert row["parameters"] == genuine["decoded"]["trainable_parameters"] / 1e6
    for epoch, (done, seconds, train, valid, test) in zip(
        row["intermediates"], genuine["decoded"]["evaluation_data"][1:], strict=True
    ):
        found = [epoch[name] for name in ("current_epoch", "training_time", "train_acc", "valid_acc", "test_acc")]
        assert found == [done, seconds, 100 * train, 100 * valid, 100 * test]


def test_fields_that_the_benchmark_did_not_have_are_passed_over(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "samples" / "nasbench101" / "carbon_4V9E.tfrecord"
    assert build(BENCHMARK, [path], directory=tmp_path).trials == 84


METRICS = base64.b64encode(b"").decode()
GOOD = ["b49ac8c578b4561d79ac7087988f1c61", 108, "010001000", "input,conv3x3-bn-relu,output", METRICS]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"module": 1}, "got another record"),
        ([*GOOD[:4]], "got another record"),
        (GOOD, r"expected a last evaluation after 108 epochs, got \[\]"),
        ([GOOD[0], 100, *GOOD[2:]], "expected 4, 12, 36, 108 epochs, got 100"),
        (["0" * 32, *GOOD[1:]], "expected the graph of 0000.*, got that of b49ac8c5"),
        ([*GOOD[:2], "0100010", *GOOD[3:]], "expected a matrix of 3 times 3 zeros and ones"),
        ([*GOOD[:3], "input,conv9x9,output", METRICS], "expected one of .*, got 'conv9x9'"),
        ([*GOOD[:4], "no base 64!"], "got another record"),
        ([*GOOD[:4], base64.b64encode(b"\x0a\xff").decode()], "got another record"),
    ],
)
def test_other_records_are_refused(record: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "one.tfrecord").write_bytes(framed(json.dumps(record).encode()))
    with pytest.raises(BenchmarkError, match=rf"one.tfrecord: before byte \d+: expected trainings of .*{message}"):
        build(BENCHMARK, [tmp_path / "one.tfrecord"], directory=tmp_path)
    assert not (tmp_path / "nasbench101.db").exists()
