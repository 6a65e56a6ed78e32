"""Queries of NDS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.nds.constants import DATASETS, FAMILIES, GENERATORS, PROPOSERS
from graphnas.benchmarks.nds.schema import DATABASE, NdsIntermediateStats, NdsTrialConfig, NdsTrialStats
from graphnas.benchmarks.nds.specs import cell_key, checked_cell_spec, checked_model_spec
from graphnas.benchmarks.query import TrialQuery, check_one_of
from graphnas.errors import BenchmarkError

_QUERY = TrialQuery(
    NdsTrialConfig,
    NdsTrialStats,
    NdsIntermediateStats,
    selective=("model_spec", "cell_key"),
    hidden=("cell_key",),
    constant=("parameters", "flops"),
)
_HAS_EPOCHS = "SELECT EXISTS (SELECT 1 FROM ndstrialconfig WHERE num_epochs = ?)"
_ALL_EPOCHS = "SELECT DISTINCT num_epochs FROM ndstrialconfig ORDER BY num_epochs"


def query_nds_trial_stats(
    model_family: str | None,
    proposer: str | None,
    generator: str | None,
    model_spec: Mapping[str, Any] | None,
    cell_spec: Mapping[str, Any] | None,
    dataset: str | None,
    num_epochs: int | None = None,
    reduction: str | None = None,
    include_intermediates: bool = False,
) -> Iterator[dict[str, Any]]:
    """Return the trials of NDS that fit, each as a dictionary with its configuration in `config`.

    Args:
        model_family: `nas_cell`, `residual_bottleneck`, `residual_basic` or `vanilla`; None for any.
        proposer: Whose design space a network was drawn from, as `amoeba` or `resnext-a`; None for any.
        generator: `random`, `fix_w_d` or `tune_lr_wd`; None for any.
        model_spec: Sizes of the network; None for any.
        cell_spec: Cells of a `nas_cell`, `{}` for other families; None for any. Which of its two inputs a node names
            first does not count.
        dataset: `cifar10` or `imagenet`; None for any.
        num_epochs: Length of the training; None for any.
        reduction: `mean` for one dictionary for each configuration, of the means of its trials; None or `none` for
            every trial.
        include_intermediates: Add the list `intermediates`, one dictionary for each epoch.

    Raises:
        UnknownArchitectureError: A specification has fields or operations that NDS has not.
        BenchmarkError: Another argument is unknown, or there is no database.
    """
    check_one_of("model_family", model_family, FAMILIES)
    check_one_of("proposer", proposer, PROPOSERS)
    check_one_of("generator", generator, GENERATORS)
    check_one_of("dataset", dataset, DATASETS)
    conditions = {
        "model_family": model_family,
        "proposer": proposer,
        "generator": generator,
        "dataset": dataset,
        "num_epochs": num_epochs,
        "model_spec": None if model_spec is None else canonical_json(checked_model_spec(model_spec)),
        "cell_key": None if cell_spec is None else cell_key(checked_cell_spec(cell_spec)),
    }
    found = _QUERY.run(DATABASE, conditions, reduction, include_intermediates)
    if num_epochs is not None:
        _check_epochs(num_epochs)
    return found


def _check_epochs(num_epochs: int) -> None:
    """Refuse a number of epochs that nothing was trained for: NDS has no list of them, so its database is asked."""
    reader = DATABASE.reader()
    if type(num_epochs) is not int or reader.execute(_HAS_EPOCHS, (num_epochs,)).fetchone() != (1,):
        known = ", ".join(str(row[0]) for row in reader.execute(_ALL_EPOCHS))
        raise BenchmarkError(f"num_epochs: expected one of {known} or None for any, got {num_epochs!r}")
