"""Experiments: search over the variants of a model, trial by trial.

The stack, lowest first: `config` and `trial`; then `store`, `strategies`, `evaluators` and `executors`, which do not
know each other; `engines`, `description`, `console` and `signals`, which tie them to models, files and the terminal;
`search`, the loop; and `experiment`, what a user holds.
"""
