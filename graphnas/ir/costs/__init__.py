"""Costs of a model before it is trained, from types alone: parameters, FLOPs, activation memory.

The stack, lowest first: `operation` (one node), `walk` (a call), `report` (numbers and tables). What does not belong
here: times, which have to be measured on a built module (`graphnas.latency`).
"""

from __future__ import annotations

from graphnas.ir.costs.report import Costs, ModuleCost, NodeCost, costs

__all__ = ["Costs", "ModuleCost", "NodeCost", "costs"]
