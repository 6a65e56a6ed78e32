"""NAS-Bench-201 (Dong and Yang 2020, arXiv 2001.00326): all cells of six edges and five operations, three data sets."""

from graphnas.benchmarks.nasbench201.constants import (
    AVG_POOL_3X3,
    CONV_1X1,
    CONV_3X3,
    NONE,
    PRIMITIVES,
    SKIP_CONNECT,
)
from graphnas.benchmarks.nasbench201.query import Table, query_nb201_trial_stats
from graphnas.benchmarks.nasbench201.schema import (
    Nb201DeviceLatency,
    Nb201IntermediateStats,
    Nb201TrialConfig,
    Nb201TrialStats,
)

__all__ = [
    "AVG_POOL_3X3",
    "CONV_1X1",
    "CONV_3X3",
    "NONE",
    "PRIMITIVES",
    "SKIP_CONNECT",
    "Nb201DeviceLatency",
    "Nb201IntermediateStats",
    "Nb201TrialConfig",
    "Nb201TrialStats",
    "Table",
    "query_nb201_trial_stats",
]
