"""What a call of a definition costs, operation by operation: work, memory that is made, and the most alive at once.

Memory is followed by blocks. A view, and an operation in place, lies in the block of its argument; a block lives as
long as a value in it will still be used, and the arguments of a call as long as the call. That is the least that a
plain run without gradients needs between operations. What a leaf needs inside, and weights, do not count.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphnas.ir.abstract import OPAQUE, TensorMeta, bind, key_of, mapped, value_of, walk
from graphnas.ir.costs.operation import Effect, Part, effect_of
from graphnas.ir.effects import GRAD_SWITCH
from graphnas.ir.graph import Graph, Node
from graphnas.ir.infer import attribute_type
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition


@dataclass(frozen=True, eq=False)
class Step:
    """One operation of a call.

    Attributes:
        node: The node.
        flops: Twice its multiply-adds, with what it calls.
        bytes: Memory that is made by it, with what it calls.
        call: The call of a definition that it makes, None for anything else.
        is_known: False where its work is not counted, since it cannot be executed without data.
    """

    node: Node
    flops: int
    bytes: int
    call: Call | None
    is_known: bool


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a definition.

    Attributes:
        steps: Its operations, in order.
        effect: What it comes to.
        bytes: All the memory that is made in it.
        peak: The most of that which is alive at once, with what is returned.
    """

    steps: tuple[Step, ...]
    effect: Effect
    bytes: int
    peak: int


def cost_of_call(definition: Definition, forward: int, inputs: tuple[Any, ...], training: bool) -> Call:
    """Return what a call comes to.

    Args:
        definition: What is called.
        forward: Number of its forward.
        inputs: Abstract values of its inputs, with one `TensorMeta` object for each tensor.
        training: Whether it runs in train mode.
    """
    keys = tuple(key_of(item) for item in inputs)
    memo = None if OPAQUE in keys else (definition.key, forward, training, keys)
    with _LOCK:
        found = _CALLS.get(memo)
    if found is None:
        found = _Run(definition, forward, inputs, training).run()
        with _LOCK:
            _CALLS.put(memo, found)
    return found


_CALLS: LRU[Call] = LRU(8192)
_LOCK = threading.Lock()


@dataclass(eq=False)
class _Block:
    """A piece of memory: `number` is that of an argument tensor, or negative for what the call made."""

    number: int
    bytes: int
    holders: int = 0


class _Held(NamedTuple):
    """A tensor in its block."""

    meta: TensorMeta
    block: _Block


class _Run:
    """A call on its way: the values that are alive, and the memory that they hold."""

    def __init__(self, definition: Definition, forward: int, inputs: tuple[Any, ...], training: bool) -> None:
        self.definition = definition
        self.training = training
        found = definition.forwards[forward]
        self.graph: Graph = found.train if training and found.train is not None else found.eval
        self.made: list[_Block] = []
        self.alive = 0
        self.peak = 0
        self.env: dict[str, Any] = {}
        self.given = 0
        for item, value in zip(self.graph.inputs, inputs, strict=True):
            self.env[item.name] = mapped(value, self.taken)

    def taken(self, value: Any) -> Any:
        """Return an argument in a block of its own, which is the caller's."""
        if not isinstance(value, TensorMeta):
            return value
        self.given += 1
        return _Held(value, _Block(self.given - 1, 0))

    def run(self) -> Call:
        last = _last_uses(self.graph)
        steps = []
        for node in self.graph.nodes:
            step, value = self.step(node)
            steps.append(step)
            self.env[node.name] = value
            for held in walk(value):
                if isinstance(held, _Held):
                    held.block.holders += 1
            for name in last.get(node.name, ()):
                self.release(name)
        result = bind(self.graph.output, self.env)
        return self.finished(tuple(steps), result)

    def finished(self, steps: tuple[Step, ...], result: Any) -> Call:
        blocks: dict[int, int] = {}
        sizes: list[int] = []

        def part(value: Any) -> Any:
            if not isinstance(value, _Held):
                return value
            if value.block.number >= 0:
                return Part(value.meta, value.block.number)
            if value.block.number not in blocks:
                sizes.append(value.block.bytes)
                blocks[value.block.number] = -len(sizes)
            return Part(value.meta, blocks[value.block.number])

        template = mapped(result, part)
        flops = sum(step.flops for step in steps)
        is_known = all(step.is_known for step in steps)
        effect = Effect(flops, template, tuple(sizes), is_known)
        return Call(steps, effect, sum(step.bytes for step in steps), self.peak)

    def step(self, node: Node) -> tuple[Step, Any]:
        """Execute a node; return what it came to, and its value."""
        kind, target = node.operation.kind, node.operation.target
        if kind == "training":
            return Step(node, 0, 0, None, True), self.training
        if kind == "assign":
            return Step(node, 0, 0, None, True), bind(node.args[0], self.env)
        if kind == "attribute" or target == GRAD_SWITCH:
            type = attribute_type(self.definition, target) if kind == "attribute" else None
            weights = self.block(0)  # parameters and buffers are no activations
            value = value_of(node.type if type is None else type)
            return Step(node, 0, 0, None, True), mapped(
                value, lambda item: _Held(item, weights) if isinstance(item, TensorMeta) else item
            )
        args, kwargs = bind(node.args, self.env), bind(node.kwargs, self.env)
        callee = self.definition.child(target) if kind == "module" else None
        if isinstance(callee, Definition):
            given = _ordered(callee, node, args, kwargs)
            call = cost_of_call(callee, node.operation.forward, tuple(map(_bare, given)), self.training)
            step = Step(node, call.effect.flops, call.bytes, call, True)
            return step, self.placed(call.effect, given, call.peak)
        effect = effect_of(node, callee, _bare(args), _bare(kwargs), self.training)
        step = Step(node, effect.flops, sum(effect.blocks), None, effect.is_known)
        return step, self.placed(effect, (args, kwargs), sum(effect.blocks))

    def placed(self, effect: Effect, given: Any, needed: int) -> Any:
        """Return a result in its blocks, having noted that `needed` bytes were alive while it was computed."""
        self.peak = max(self.peak, self.alive + needed)
        owners = [held.block for held in walk(given) if isinstance(held, _Held)]
        fresh = [self.block(size) for size in effect.blocks]
        for block in fresh:
            self.alive += block.bytes
        return mapped(
            effect.result,
            lambda item: (
                _Held(item.meta, owners[item.origin] if item.origin >= 0 else fresh[-1 - item.origin])
                if isinstance(item, Part)
                else item
            ),
        )

    def block(self, size: int) -> _Block:
        block = _Block(-1 - len(self.made), size)
        self.made.append(block)
        return block

    def release(self, name: str) -> None:
        """Forget a value that is not used again; a block that nothing holds any more is free."""
        for held in walk(self.env.pop(name)):
            if isinstance(held, _Held) and held.block.number < 0:
                held.block.holders -= 1
                if held.block.holders == 0:
                    self.alive -= held.block.bytes


def _last_uses(graph: Graph) -> Mapping[str, list[str]]:
    """Return, by the node after which they are not used again, the values of nodes; the output keeps its own."""
    last = {node.name: node.name for node in graph.nodes}
    for node in graph.nodes:
        for value in node.inputs:
            if value.name in last:
                last[value.name] = node.name
    for value in graph.output_values:
        last.pop(value.name, None)
    found: dict[str, list[str]] = {}
    for name, node_name in last.items():
        found.setdefault(node_name, []).append(name)
    return found


def _ordered(callee: Definition, node: Node, args: Any, kwargs: Any) -> tuple[Any, ...]:
    """Return the arguments of a call in the order of the inputs."""
    positional = iter(args)
    inputs = callee.forwards[node.operation.forward].eval.inputs
    return tuple(kwargs[item.name] if item.name in kwargs else next(positional) for item in inputs)


def _bare(value: Any) -> Any:
    """Return metadata without blocks, one object for each place, so that each can be told from the others."""
    return mapped(value, lambda item: TensorMeta(*item.meta) if isinstance(item, _Held) else item)
