"""graphnas: edit PyTorch models as graphs, search over the edits, and get plain PyTorch source back.

The walk of the data, and the layers that it passes through::

    nn.Module --trace--> ir.Model --mutators--> ir.Model + history --codegen--> model.py --worker--> metric --> store

    errors < ir < codegen | mutators < timing < experiment

This module is a facade: a name is imported when it is first used, so `import graphnas` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from graphnas.version import __version__

if TYPE_CHECKING:
    from graphnas import benchmarks as benchmarks
    from graphnas import evaluator as evaluator
    from graphnas import mutator as mutator
    from graphnas import strategy as strategy
    from graphnas.codegen import save, to_module, to_source
    from graphnas.errors import (
        BenchmarkError,
        CodegenError,
        ConfigError,
        DecisionError,
        EvaluationError,
        ExperimentError,
        GraphNASError,
        MutationError,
        ParseError,
        StoreError,
        TraceError,
        UnknownArchitectureError,
        VerificationError,
    )
    from graphnas.experiment.config import RetiariiExeConfig
    from graphnas.experiment.debugging import debug_mutated_model
    from graphnas.experiment.evaluators import FunctionalEvaluator
    from graphnas.experiment.experiment import RetiariiExperiment
    from graphnas.experiment.trial import (
        current_trial,
        report_final_result,
        report_intermediate_result,
        should_stop,
    )
    from graphnas.ir.context import ContextStack, ModelNamespace, NoContextError, get_current_context
    from graphnas.ir.costs import costs
    from graphnas.ir.diff import diff
    from graphnas.ir.draw import draw
    from graphnas.ir.history import blame, undo
    from graphnas.ir.model import Model
    from graphnas.ir.module import ModuleSpec
    from graphnas.ir.record import basic_unit, model_wrapper, recording
    from graphnas.ir.trace import trace
    from graphnas.mutators import CostLimit, ModelConstraint, ModelSpace, Mutator
    from graphnas.mutators.choices import (
        AutoActivation,
        Cell,
        ChosenInputs,
        InputChoice,
        LayerChoice,
        ModelParameterChoice,
        Mutable,
        NasBench101Cell,
        NasBench201Cell,
        Placeholder,
        Repeat,
        ValueChoice,
        fixed_arch,
        int_range,
        loguniform,
        original_state_dict_hooks,
        uniform,
    )
    from graphnas.mutators.inherit import inherit
    from graphnas.timing import latency

_HOMES = {
    "graphnas.codegen": ("save", "to_module", "to_source"),
    "graphnas.errors": (
        "BenchmarkError",
        "CodegenError",
        "ConfigError",
        "DecisionError",
        "EvaluationError",
        "ExperimentError",
        "GraphNASError",
        "MutationError",
        "ParseError",
        "StoreError",
        "TraceError",
        "UnknownArchitectureError",
        "VerificationError",
    ),
    "graphnas.experiment.config": ("RetiariiExeConfig",),
    "graphnas.experiment.debugging": ("debug_mutated_model",),
    "graphnas.experiment.evaluators": ("FunctionalEvaluator",),
    "graphnas.experiment.experiment": ("RetiariiExperiment",),
    "graphnas.experiment.trial": (
        "current_trial",
        "report_final_result",
        "report_intermediate_result",
        "should_stop",
    ),
    "graphnas.ir.context": ("ContextStack", "ModelNamespace", "NoContextError", "get_current_context"),
    "graphnas.ir.costs": ("costs",),
    "graphnas.ir.diff": ("diff",),
    "graphnas.ir.draw": ("draw",),
    "graphnas.ir.history": ("blame", "undo"),
    "graphnas.ir.model": ("Model",),
    "graphnas.ir.module": ("ModuleSpec",),
    "graphnas.ir.record": ("basic_unit", "model_wrapper", "recording"),
    "graphnas.ir.trace": ("trace",),
    "graphnas.mutators": ("CostLimit", "ModelConstraint", "ModelSpace", "Mutator"),
    "graphnas.mutators.choices": (
        "AutoActivation",
        "Cell",
        "ChosenInputs",
        "InputChoice",
        "LayerChoice",
        "ModelParameterChoice",
        "Mutable",
        "NasBench101Cell",
        "NasBench201Cell",
        "Placeholder",
        "Repeat",
        "ValueChoice",
        "fixed_arch",
        "int_range",
        "loguniform",
        "original_state_dict_hooks",
        "uniform",
    ),
    "graphnas.mutators.inherit": ("inherit",),
    "graphnas.timing": ("latency",),
}
_MODULES = ("benchmarks", "evaluator", "mutator", "strategy")
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AutoActivation",
    "BenchmarkError",
    "Cell",
    "ChosenInputs",
    "CodegenError",
    "ConfigError",
    "ContextStack",
    "CostLimit",
    "DecisionError",
    "EvaluationError",
    "ExperimentError",
    "FunctionalEvaluator",
    "GraphNASError",
    "InputChoice",
    "LayerChoice",
    "Model",
    "ModelConstraint",
    "ModelNamespace",
    "ModelParameterChoice",
    "ModelSpace",
    "ModuleSpec",
    "Mutable",
    "MutationError",
    "Mutator",
    "NasBench101Cell",
    "NasBench201Cell",
    "NoContextError",
    "ParseError",
    "Placeholder",
    "Repeat",
    "RetiariiExeConfig",
    "RetiariiExperiment",
    "StoreError",
    "TraceError",
    "UnknownArchitectureError",
    "ValueChoice",
    "VerificationError",
    "__version__",
    "basic_unit",
    "benchmarks",
    "blame",
    "costs",
    "current_trial",
    "debug_mutated_model",
    "diff",
    "draw",
    "evaluator",
    "fixed_arch",
    "get_current_context",
    "inherit",
    "int_range",
    "latency",
    "loguniform",
    "model_wrapper",
    "mutator",
    "original_state_dict_hooks",
    "recording",
    "report_final_result",
    "report_intermediate_result",
    "save",
    "should_stop",
    "strategy",
    "to_module",
    "to_source",
    "trace",
    "undo",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(f"graphnas.{name}")
    elif name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module 'graphnas' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
