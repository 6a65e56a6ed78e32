"""`graphnas bench compare`: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from graphnas.benchmarks.cli import app as bench
from graphnas.benchmarks.compare_cli import compare
from graphnas.errors import BenchmarkError, ConfigError, GraphNASError
from tests.benchmarks.search.conftest import few_cells as few_cells

QUICK = ["-b", "nasbench201-cifar100", "--runs", "4", "--trials", "300", "--jobs", "1", "--strategies", "random,local"]


def invoke(*arguments: str) -> str:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(compare)
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, GraphNASError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_table_is_printed(few_cells: Path) -> None:
    printed = invoke(*QUICK)
    assert "nasbench201-cifar100: 300 trials; best network 103.00 %" in printed
    assert [line.split()[1] for line in printed.splitlines() if "300.0" in line] == ["random", "local"]


def test_json_is_printed_and_files_are_written(few_cells: Path, tmp_path: Path) -> None:
    files = ["--plot", str(tmp_path / "plots"), "-o", str(tmp_path / "all" / "runs.json")]
    (found,) = json.loads(invoke(*QUICK, "--json", *files))
    assert found["task"] == "nasbench201-cifar100"
    assert [row["strategy"] for row in found["strategies"]] == ["random", "local"]
    assert (tmp_path / "plots" / "nasbench201-cifar100.svg").read_text(encoding="utf-8").startswith("<svg")
    (written,) = json.loads((tmp_path / "all" / "runs.json").read_text(encoding="utf-8"))
    assert len(written["runs"]["local"]) == 4


def test_a_comparison_is_repeated_to_the_last_digit(few_cells: Path) -> None:
    assert invoke(*QUICK, "--json") == invoke(*QUICK, "--json")
    assert invoke(*QUICK, "--json", "--seed", "1") != invoke(*QUICK, "--json")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["-b", "cifar"], BenchmarkError, r"benchmark: expected one of nasbench101, .*, got 'cifar'"),
        (["-b", "nasbench201", "--budget", "soon"], ConfigError, "budget: expected a positive number of seconds"),
        (["-b", "nasbench201", "--trials", "0"], ConfigError, "trials: expected a whole number of at least 1, got 0"),
        (["-b", "nasbench201", "--strategies", "luck"], ConfigError, "there is no strategy 'luck'"),
        ([*QUICK, "--epochs", "13"], BenchmarkError, "none of 13"),
    ],
)
def test_wrong_arguments_are_refused(
    few_cells: Path, arguments: list[str], kind: type[GraphNASError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        invoke(*arguments)


def test_a_file_that_cannot_be_written_is_said(few_cells: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BenchmarkError, match="cannot be written"):
        invoke(*QUICK, "--json", "-o", str(tmp_path / "file" / "runs.json"))


def test_it_is_a_command_of_bench(few_cells: Path) -> None:
    result = CliRunner().invoke(bench, ["compare", "-b", "cifar"])
    assert result.exit_code == 1
    assert "graphnas: benchmark: expected one of nasbench101" in result.stderr
