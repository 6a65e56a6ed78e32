"""NATS-Bench (Dong et al. 2021, arXiv 2009.00437): the layout of its records, and its space of sizes."""
