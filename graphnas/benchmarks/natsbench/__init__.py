"""NATS-Bench (Dong et al. 2021, arXiv 2009.00437): networks of one cell and many widths, the space of sizes.

Its other space, of topologies, is that of NAS-Bench-201, and its records are read as such.
"""

from graphnas.benchmarks.natsbench.query import query_nats_sss_trial_stats
from graphnas.benchmarks.natsbench.schema import NatsSssIntermediateStats, NatsSssTrialConfig, NatsSssTrialStats

__all__ = [
    "NatsSssIntermediateStats",
    "NatsSssTrialConfig",
    "NatsSssTrialStats",
    "query_nats_sss_trial_stats",
]
