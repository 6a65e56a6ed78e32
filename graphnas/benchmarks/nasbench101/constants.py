"""Names of NAS-Bench-101, as its files write them."""

from __future__ import annotations

INPUT = "input"
OUTPUT = "output"
CONV3X3_BN_RELU = "conv3x3-bn-relu"
CONV1X1_BN_RELU = "conv1x1-bn-relu"
MAXPOOL3X3 = "maxpool3x3"

OPERATIONS = (CONV3X3_BN_RELU, CONV1X1_BN_RELU, MAXPOOL3X3)
"""The operations of vertices between input and output."""

LABEL2ID = {INPUT: -1, OUTPUT: -2, CONV3X3_BN_RELU: 0, CONV1X1_BN_RELU: 1, MAXPOOL3X3: 2}
"""Label of a vertex to the number that its graph hash starts from."""

MAX_VERTICES = 7
"""Greatest number of vertices, input and output included."""

MAX_EDGES = 9
"""Greatest number of edges."""

EPOCHS = (4, 12, 36, 108)
"""Lengths of training that were measured."""
