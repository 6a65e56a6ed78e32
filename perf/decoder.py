"""A decoder of 7 billion parameters on the meta device, traced and written in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import torch

import graphnas
from perf.line import Line, within
from perf.models import Decoder

_TIME_S = 30.0
_MEMORY_GB = 2.0


def decoder() -> Iterator[Line]:
    """Time and memory, against the bounds."""
    run = subprocess.run([sys.executable, "-m", "perf.decoder"], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    what = f"decoder of {found['parameters'] / 1e9:.2f} billion parameters"
    yield within(f"{what}, traced and written", found["trace_s"] + found["source_s"], _TIME_S, "s")
    yield within(f"{what}, traced", found["trace_s"], _TIME_S, "s")
    yield within(f"{what}, peak of resident memory", found["memory_gb"], _MEMORY_GB, "GB")


def _measure() -> dict[str, float]:
    with torch.device("meta"), graphnas.recording():
        net = Decoder()
    start = time.perf_counter()
    model = graphnas.trace(net, (torch.zeros(1, 128, dtype=torch.int64),))
    traced = time.perf_counter()
    graphnas.to_source(model)
    written = time.perf_counter()
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "trace_s": traced - start,
        "source_s": written - traced,
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,  # kilobytes on Linux
    }


if __name__ == "__main__":
    print(json.dumps(_measure()))
