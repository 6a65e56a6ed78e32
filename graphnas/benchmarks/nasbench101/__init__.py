"""NAS-Bench-101 (Ying et al. 2019, arXiv 1902.09635): all small graphs of three operations, trained on CIFAR-10."""

from graphnas.benchmarks.nasbench101.constants import (
    CONV1X1_BN_RELU,
    CONV3X3_BN_RELU,
    INPUT,
    LABEL2ID,
    MAXPOOL3X3,
    OUTPUT,
)
from graphnas.benchmarks.nasbench101.graph import hash_module, infer_num_vertices, nasbench_format_to_architecture_repr
from graphnas.benchmarks.nasbench101.query import Table, query_nb101_trial_stats
from graphnas.benchmarks.nasbench101.schema import Nb101IntermediateStats, Nb101TrialConfig, Nb101TrialStats

__all__ = [
    "CONV1X1_BN_RELU",
    "CONV3X3_BN_RELU",
    "INPUT",
    "LABEL2ID",
    "MAXPOOL3X3",
    "OUTPUT",
    "Nb101IntermediateStats",
    "Nb101TrialConfig",
    "Nb101TrialStats",
    "Table",
    "hash_module",
    "infer_num_vertices",
    "nasbench_format_to_architecture_repr",
    "query_nb101_trial_stats",
]
