"""`trace`, `draw` and `doctor`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Commands


def test_a_trace_reports_hierarchy_and_guards(graphnas: Commands, project: Path) -> None:
    text = graphnas("trace", "net_of_tests.py:Net", "-i", "1,2").stdout
    assert "hidden  Linear  12" in text
    assert "x.shape[1] > 4 is False" in text
    form = graphnas.json("trace", "net_of_tests:Net", "--input", "1,6", "--arguments", '{"inputs": 6}', "--graph")
    assert form["name"] == "Net"
    assert form["guards"][0]["outcome"] == "True"
    assert form["graph"].startswith("graphnas 1 model @Net")
    graphnas("trace", "net_of_tests.py:Net", "-i", "1,2", "-o", "made.py")
    assert "class Net(nn.Module):" in Path("made.py").read_text()


def test_a_model_is_drawn_to_the_output_or_to_a_file(graphnas: Commands, project: Path) -> None:
    assert "flowchart" in graphnas("draw", "net_of_tests.py:Net", "-i", "1,2", "-f", "mermaid").stdout
    assert graphnas("draw", "net_of_tests.py:Net", "-i", "1,2", "-o", "net.dot").stdout == "net.dot\n"
    assert Path("net.dot").read_text().startswith("digraph")
    assert graphnas.json("draw", "net_of_tests.py:Net", "-i", "1,2")["title"].startswith("Net")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["net_of_tests.py:Nt", "-i", "1,2"], 2, "net_of_tests.py has no 'Nt'; did you mean 'Net'?"),
        (["none.py:Net", "-i", "1,2"], 2, "none.py cannot be loaded:"),
        (["Net", "-i", "1,2"], 2, "there is no 'Net'; expected a name such as net.py:Net"),
        (["net_of_tests.py:number", "-i", "1,2"], 2, "expected a class of models, a function that returns a model"),
        (["net_of_tests.py:Net"], 2, "--input: is missing"),
        (["net_of_tests.py:Net", "-i", "1,x"], 2, "--input: expected a shape, as 1,3,32,32"),
        (["net_of_tests.py:Net", "-i", "1,2:flot32"], 2, "--input: expected a shape, as 1,3,32,32"),
        (["net_of_tests.py:Net", "-i", "1,2", "-a", "{"], 2, "--arguments: is not JSON"),
        (["net_of_tests.py:Net", "-i", "1,2", "-a", "[1]"], 2, "--arguments: expected an object"),
        (["net_of_tests.py:Net", "-i", "1,2", "-a", '{"input": 1}'], 2, "did you mean 'FILE:NAME.arguments.inputs'?"),
        (["net_of_tests.py:Net", "-i", "1,3"], 1, "net_of_tests.py:17: the root Net failed while being traced"),
    ],
)
def test_what_is_wrong_is_named(
    graphnas: Commands, project: Path, arguments: list[str], code: int, message: str
) -> None:
    assert message in graphnas("trace", *arguments, code=code).stderr


def test_the_doctor_looks_at_everything(graphnas: Commands, home: Path, tmp_path: Path) -> None:
    found = {finding["what"]: finding for finding in graphnas.json("doctor")}
    assert found["torch"]["state"] == found["experiments"]["state"] == found["worker processes"]["state"] == "ok"
    assert str(home) in found["experiments"]["found"]
    blocked = tmp_path / "file"
    blocked.touch()
    text = graphnas("doctor", "--home", "/proc/nowhere", code=1).stdout
    assert "problem" in text


def test_the_commands_of_benchmarks_are_mounted(graphnas: Commands, tmp_path: Path) -> None:
    assert "Usage: graphnas bench" in graphnas("bench", "--help").stdout
    assert "nasbench201" in graphnas("bench", "ls", "--dir", str(tmp_path)).stdout
    assert "No such command 'lss'" in graphnas("bench", "lss", code=2).stderr
