"""`graphnas bench`."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graphnas.benchmarks.cli import app
from graphnas.benchmarks.database import DIRECTORY_VARIABLE

TABLE = """arch,dataset,num_epochs,seed,test_acc,parameters
|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,cifar10,200,777,94.371,0.07331
|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,cifar100,200,777,73.0,
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "databases"))
    path = tmp_path / "trials.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_build_verify_and_ls(table: Path) -> None:
    code, out, err = run("build", "nasbench201", "--from", table)
    assert (code, err) == (0, "")
    assert "databases/nasbench201.db: 2 configurations, 2 trials and 0 measurements on the way" in out
    assert "NULL, since the sources do not tell it: train_acc, valid_acc, ori_test_acc, " in out
    assert "told of some trials, else NULL: parameters (50.0%)" in out
    assert "next: graphnas bench verify nasbench201" in out
    code, out, _ = run("verify", "nasbench201")
    assert code == 1
    assert "ok: structure: expected ok, found ok" in out
    assert "DIFFERS: cells: expected 15,625, found 1" in out
    assert "ok: best mean test accuracy on cifar10: expected 94.37 %, found 94.37 %" in out
    assert "DIFFERS: best mean test accuracy on cifar100: expected 73.51 %, found 73.00 %" in out
    assert "not told by the sources: best mean test accuracy on imagenet16-120: expected 47.31 %" in out
    code, out, _ = run("ls")
    assert code == 0
    assert re.search(r"nasbench201\.db, 0\.\d MB, 2 trials, from trials\.csv", out)
    assert "nasbench101.db: there is no database of nasbench101; get nasbench_full.tfrecord or" in out


def test_everything_can_be_had_as_json(table: Path) -> None:
    _, out, _ = run("build", "nasbench201", "--from", table, "--json")
    built = json.loads(out)
    assert (built["configs"], built["trials"]) == (2, 2)
    assert (built["told"]["test_acc"], built["told"]["parameters"], built["told"]["latency"]) == (1, 0.5, 0)
    _, out, _ = run("verify", "nasbench201", "--json")
    assert [fact["holds"] for fact in json.loads(out)] == [True, True, False, True, False, None]
    _, out, _ = run("ls", "--json")
    assert [(item["name"], item["size_bytes"] is None) for item in json.loads(out)] == [
        ("nasbench101", True),
        ("nasbench201", False),
        ("natsbench_sss", True),
        ("nds", True),
    ]
    code, out, _ = run("build", "nasbench301", "--from", table, "--json")
    assert code == 1
    assert json.loads(out)["error"]["message"].startswith("there is no benchmark 'nasbench301'; there are nasbench101")


def test_a_changed_row_is_found(table: Path) -> None:
    run("build", "nasbench201", "--from", table, "--dir", table.parent)
    with sqlite3.connect(table.parent / "nasbench201.db") as connection:
        connection.execute("UPDATE nb201trialstats SET test_acc = 95 WHERE id = 1")
    code, out, _ = run("verify", "nasbench201", "--dir", table.parent)
    assert code == 1
    assert "DIFFERS: checksum of all rows" in out


def test_errors_go_to_stderr_and_say_what_to_do(table: Path) -> None:
    code, out, err = run("verify", "nds")
    assert (code, out) == (1, "")
    assert err.startswith("graphnas: ")
    assert "get data.zip of NDS (link at github.com/facebookresearch/nds), and run: graphnas bench build nds" in err
    code, _, err = run("build", "nds", "--from", table)
    assert code == 1
    assert "trials.csv: is of no layout of NDS that is known: data.zip" in err
