from __future__ import annotations

import io

import pytest

from graphnas.experiment.tables import print_leaderboard, print_table
from graphnas.experiment.trial import Trial, TrialStatus


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_pipe_a_table_is_aligned_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Things", ("NAME", "COUNT"), [("a", "1"), ("long one", "22")], right=(1,))
    assert capsys.readouterr().out == "NAME      COUNT\na             1\nlong one     22\n"


def test_on_a_terminal_it_has_lines_and_keeps_what_must_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    print_table("Things", ("ID", "TEXT"), [("20260101-000000-abcd", "many words " * 5)], whole=(0,))
    printed = terminal.getvalue()
    assert "Things" in printed
    assert "┃" in printed
    assert "20260101-000000-abcd" in printed


def test_brackets_in_decisions_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    trial = Trial(3, TrialStatus.COMPLETED, {"op": "[red]x[/red]", "n": 2}, 0, metric=0.123456789, duration_s=1.25)
    print_leaderboard([trial])
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "1",
        "3",
        "0.123457",
        "1.2",
        "s",
        'op="[red]x[/red]"',
        "n=2",
    ]
