"""The log of a trial, and its bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphnas.experiment.executors.log import HEAD_BYTES, MAX_LOG_BYTES, TAIL_BYTES, TrialLog
from graphnas.experiment.trial import LOG_NAME


def test_a_trial_that_prints_nothing_has_no_log_and_an_old_one_goes(tmp_path: Path) -> None:
    (tmp_path / LOG_NAME).write_text("of the run before")
    log = TrialLog(tmp_path)
    assert log.tail() == ""
    log.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [1000, 100_000, TAIL_BYTES, 5 * TAIL_BYTES])
def test_a_long_log_keeps_its_head_and_its_tail_and_counts_the_rest(tmp_path: Path, size: int) -> None:
    written = b"".join(b"%015d\n" % number for number in range(12 * TAIL_BYTES // 16))
    log = TrialLog(tmp_path)
    largest = 0
    for start in range(0, len(written), size):
        log.write(written[start : start + size])
        largest = max(largest, (tmp_path / LOG_NAME).stat().st_size)
    assert written.decode().endswith(log.tail())
    assert len(log.tail()) == 4000
    log.close()
    kept = (tmp_path / LOG_NAME).read_bytes()
    assert len(kept) <= largest <= MAX_LOG_BYTES
    head, note, tail = kept.partition(b"\n... ")
    count, _, tail = tail.partition(b" bytes left out ...\n")
    assert note
    assert written.startswith(head)
    assert len(head) == HEAD_BYTES or size > HEAD_BYTES
    assert written.endswith(tail)
    assert len(tail) >= TAIL_BYTES
    assert int(count) == len(written) - len(head) - len(tail)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_takes_nothing_more_ends_no_trial(tmp_path: Path) -> None:
    log = TrialLog(tmp_path)
    (tmp_path / LOG_NAME).symlink_to("/dev/full")
    log.write(b"words")
    assert log.tail() == ""
    log.close()
