"""Measurements of speed, each as a ratio against a peer or a bound in the same run. `python -m perf` prints them."""
