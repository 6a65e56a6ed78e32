"""Tracing: from a module of PyTorch to a model of the IR.

The walk: `prepare` copies the structure, `tracer` runs the copy on fake tensors and records an fx graph for each
call, `from_fx` turns those into graphs, `leaf` finds the constructor calls of leaves, and `definitions` puts the tree
together. `api` drives it, and falls back where a submodule resists.
"""

from graphnas.ir.trace.api import trace

__all__ = ["trace"]
