"""The original files of NAS-Bench-201 and of NATS-Bench's topology space."""

from __future__ import annotations

import bz2
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from graphnas.benchmarks.build import BuildReport, build
from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.nasbench201 import query_nb201_trial_stats
from graphnas.benchmarks.nasbench201.benchmark import BENCHMARK
from graphnas.errors import BenchmarkError

SAMPLES = (
    "nasbench201/reencoded_3_archs.pth",
    "nasbench201/reencoded_3_archs_legacy.pth",
    "natsbench/NATS-tss-v1_0-3ffb9-simple",
)


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_layout_gives_the_same_database(sample: str, shared_data: Path, tmp_path: Path) -> None:
    report = build(BENCHMARK, [shared_data / "samples" / sample], directory=tmp_path)
    assert (report.configs, report.trials, report.intermediates) == (24, 51, 7380)
    assert report.checksum == "5e7e53c979d2fcfd87456191df652f7c525f461953f48dafb83535e0ca5a3524"


def test_original_files_say_what_the_tables_of_them_say(
    shared_data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(BENCHMARK, [shared_data / "samples" / SAMPLES[0]], directory=tmp_path)
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    originals = list(query_nb201_trial_stats(None, None, None, include_intermediates=True))
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(whole))
    for original in originals:
        config = original["config"]
        rows = query_nb201_trial_stats(
            config["arch"], config["num_epochs"], config["dataset"], include_intermediates=True
        )
        (row,) = (row for row in rows if row["seed"] == original["seed"])
        for ours, table in zip([original, *original["intermediates"]], [row, *row["intermediates"]], strict=True):
            for field in ours.keys() - {"id", "config", "intermediates"}:
                assert ours[field] == (None if table[field] is None else pytest.approx(table[field], rel=1e-9))


class Touch:
    """Would make a file, if it was unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def zipped(data: bytes, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    return path


def test_a_hostile_file_is_refused_and_does_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "was_here"
    data = pickle.dumps({"meta_archs": [], "arch2infos": {0: {"full": Touch(marker)}}}, 2)
    head: tuple[Any, ...] = (0x1950A86A20F9469CFC6C, 1001, {})
    legacy = b"".join(pickle.dumps(item, 2) for item in head) + data
    (tmp_path / "legacy.pth").write_bytes(legacy)
    folder = tmp_path / "NATS-tss"
    folder.mkdir()
    (folder / "000000.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps({"12": Touch(marker)})))
    for path in (zipped(data, tmp_path / "zip.pth"), tmp_path / "legacy.pth", folder):
        with pytest.raises(BenchmarkError, match=r"expected plain data, got (posix|nt|os)\.system, .* nothing was run"):
            build(BENCHMARK, [path], directory=tmp_path)
    assert not marker.exists()
    assert not (tmp_path / "nasbench201.db").exists()


def test_tensors_are_refused(tmp_path: Path) -> None:
    import torch

    torch.save({"arch2infos": {0: {"full": torch.zeros(3)}}}, tmp_path / "tensors.pth")
    with pytest.raises(BenchmarkError, match="expected plain data, got "):
        build(BENCHMARK, [tmp_path / "tensors.pth"], directory=tmp_path)


@pytest.fixture
def sample(shared_data: Path) -> bytes:
    return (shared_data / "samples" / SAMPLES[0]).read_bytes()


def test_a_torn_file_is_refused(sample: bytes, shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.pth").write_bytes(sample[: len(sample) // 2])
    with pytest.raises(BenchmarkError, match=r"torn\.pth: is torn: "):
        build(BENCHMARK, [tmp_path / "torn.pth"], directory=tmp_path)
    place = sample.index(b"train_times", len(sample) // 2)
    (tmp_path / "changed.pth").write_bytes(sample[:place] + b"T" + sample[place + 1 :])
    with pytest.raises(BenchmarkError, match=r"changed\.pth: "):
        build(BENCHMARK, [tmp_path / "changed.pth"], directory=tmp_path)
    folder = tmp_path / "NATS-tss"
    folder.mkdir()
    whole = (shared_data / "samples" / SAMPLES[2] / "000011.pickle.pbz2").read_bytes()
    (folder / "000011.pickle.pbz2").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BenchmarkError, match=r"000011.pickle.pbz2: .*torn"):
        build(BENCHMARK, [folder], directory=tmp_path)


RESULT = {
    "train_acc1es": {epoch: 10.0 + epoch for epoch in range(12)},
    "train_losses": dict.fromkeys(range(12), 2.0),
    "eval_acc1es": {"ori-test@11": 60.0},
    "eval_losses": {"ori-test@11": 1.0},
    "params": 0.07331,
    "flop": 7.78,
    "epochs": 12,
}


def archived(result: dict[str, Any], path: Path) -> Path:
    info = {
        "arch_index": 0,
        "arch_str": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "all_results": {("cifar10", 777): result},
    }
    buffer = io.BytesIO()
    pickle.dump({"meta_archs": [], "arch2infos": {0: {"full": info}}, "evaluated_indexes": {0}}, buffer, 2)
    return zipped(buffer.getvalue(), path)


def build_of(result: dict[str, Any], folder: Path) -> BuildReport:
    return build(BENCHMARK, [archived(result, folder / "NAS-Bench-201-v1_0-e61699.pth")], directory=folder)


def test_a_file_of_the_first_version_tells_no_times_and_no_latency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = build_of(RESULT, tmp_path)
    assert (report.configs, report.trials, report.intermediates) == (1, 1, 12)
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    (row,) = query_nb201_trial_stats(None, 12, "cifar10", include_intermediates=True)
    assert row["latency"] is row["training_time"] is row["ori_test_evaluation_time"] is row["valid_acc"] is None
    assert (row["train_acc"], row["test_acc"], row["ori_test_acc"], row["seed"]) == (21.0, 60.0, 60.0, 777)
    assert row["intermediates"][0]["train_acc"] == 10.0
    assert row["intermediates"][0]["test_acc"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 8}, "expected a training of 12, 200 epochs, got 8"),
        ({"params": "many"}, "expected a number, got str"),
        ({"train_acc1es": {}}, "KeyError"),
        ({"eval_acc1es": None}, "TypeError"),
    ],
)
def test_records_of_another_layout_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=rf"cell 0: expected a record of NAS-Bench-201, got another: .*{message}"):
        build_of(RESULT | change, tmp_path)
