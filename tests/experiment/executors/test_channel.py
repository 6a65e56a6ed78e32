"""Messages between processes, torn ones among them."""

from __future__ import annotations

import pickle
import struct

import pytest

from graphnas.experiment.executors.channel import Channel


def test_messages_arrive_whole_and_in_order_however_they_are_cut() -> None:
    here, socket_there = Channel.pair()
    there = Channel(socket_there)
    sent = [("one", 1), ("large", "x" * 100_000), ("two", {"a": 2.0})]
    for message in sent:
        there.send(message)
    received: list[object] = []
    while len(received) < 3:
        received += here.available()
    assert received == sent
    assert here.available() == []
    here.send("back")
    assert there.receive() == "back"
    here.close()
    with pytest.raises(EOFError, match="other end of the channel is gone"):
        there.receive()
    there.send("to nobody")
    there.close()


def test_half_a_message_blocks_nobody_while_another_process_holds_the_socket() -> None:
    here, there = Channel.pair()
    held_by_a_child = there.dup()
    data = pickle.dumps("whole")
    there.sendall(struct.pack(">Q", len(data)) + data + struct.pack(">Q", 1000) + b"half")
    there.close()
    assert here.available() == ["whole"]
    states = [here.is_open]
    held_by_a_child.close()
    assert here.available() == []
    assert [*states, here.is_open] == [True, False]
    here.close()


def test_whoever_sends_no_messages_is_taken_to_be_gone() -> None:
    here, there = Channel.pair()
    there.sendall(struct.pack(">Q", 4) + b"junk")
    assert here.available() == []
    assert not here.is_open
    here.close()
    there.close()
