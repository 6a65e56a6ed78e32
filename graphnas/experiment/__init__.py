"""Experiments: search over the variants of a model, trial by trial.

The stack, lowest first: `config` and `trial`; then `store`, `strategies`, `evaluators` and `executors`, which do not
know each other; `engines` and `folders`; `description`, `console` and `signals`, which tie them to models, files and
the terminal; `results`, what a reader sees, with `summary` and `predecessor` on top; `search`, the loop; `session`, one
run of it; and `experiment`, what a user holds.

What only reads (`config`, `store`, `folders`, `results`, `summary`) imports neither torch nor code of an experiment.
"""
