"""Names of NAS-Bench-201, as NNI's documents write them; its own strings put `nor_` before those of convolutions."""

from __future__ import annotations

NONE = "none"
SKIP_CONNECT = "skip_connect"
CONV_1X1 = "conv_1x1"
CONV_3X3 = "conv_3x3"
AVG_POOL_3X3 = "avg_pool_3x3"

PRIMITIVES = (NONE, SKIP_CONNECT, CONV_1X1, CONV_3X3, AVG_POOL_3X3)
"""The operations of an edge, in the order of the benchmark."""

EDGES = ("0_1", "0_2", "1_2", "0_3", "1_3", "2_3")
"""The edges of a cell, `from_to`, in the order of the benchmark's strings."""

CIFAR10_VALID = "cifar10-valid"
CIFAR10 = "cifar10"
CIFAR100 = "cifar100"
IMAGENET16_120 = "imagenet16-120"

DATASETS = (CIFAR10_VALID, CIFAR10, CIFAR100, IMAGENET16_120)
"""The data sets; `cifar10-valid` is trained on half of CIFAR-10's training images, `cifar10` on all."""

EPOCHS = (12, 200)
"""Lengths of training that were measured."""
