"""Models built by hand that tests of the IR's forms and drawings share."""

from __future__ import annotations

import torch

from graphnas.ir.graph import Input
from graphnas.ir.literal import FrozenDict, Value
from graphnas.ir.model import Model
from graphnas.ir.module import BufferSpec, Definition, ModuleSpec, ParameterSpec, TensorData, Tie
from graphnas.ir.types import ScalarType, SequenceType, TensorType
from tests.strategies import Builder, expression, leaf, sequential


def images(channels: int, size: int) -> TensorType:
    """Return the type of a batch of two square feature maps."""
    return TensorType((2, channels, size, size), torch.float32)


def basic_block(before: int, after: int, size: int, *, stride: int = 1) -> Definition:
    """Return the block of a ResNet-18, with a projection where the shape changes."""
    builder = Builder("BasicBlock", (Input("x", images(before, size * stride)),))
    x, type = Value("x"), images(after, size)
    strided = {"stride": stride} if stride > 1 else {}
    conv1 = ModuleSpec("torch.nn:Conv2d", (before, after, 3), FrozenDict({**strided, "padding": 1, "bias": False}))
    out = builder.call("conv1", x, child=conv1, type=type, hint="out")
    out = builder.call("bn1", out, child=leaf("BatchNorm2d", after), type=type, hint="out")
    out = builder.call("relu", out, child=leaf("ReLU", inplace=True), type=type, hint="out")
    out = builder.call("conv2", out, child=leaf("Conv2d", after, after, 3, padding=1, bias=False), type=type)
    out = builder.call("bn2", out, child=leaf("BatchNorm2d", after), type=type, hint="out")
    if stride > 1 or before != after:
        projection = leaf("Conv2d", before, after, 1, stride=stride, bias=False)
        both = sequential(projection, leaf("BatchNorm2d", after), type=type, before=images(before, size * stride))
        x = builder.call("downsample", x, child=both, type=type)
    out = builder.add("function", "operator:iadd", out, x, type=type, hint="out")
    return builder.build(builder.call("relu", out, type=type, hint="out"))


def resnet(widths: tuple[int, ...] = (64, 128), blocks: int = 2, *, kernel_size: int = 7) -> Model:
    """Return a ResNet with a stem, stages of `blocks` blocks and a head."""
    builder = Builder("ResNet", (Input("x", images(3, 64)),))
    stem = leaf("Conv2d", 3, widths[0], kernel_size, stride=2, padding=kernel_size // 2, bias=False, label="stem")
    x = builder.call("conv1", Value("x"), child=stem, type=images(widths[0], 32), hint="x")
    x = builder.call("bn1", x, child=leaf("BatchNorm2d", widths[0]), type=images(widths[0], 32), hint="x")
    x = builder.call("relu", x, child=leaf("ReLU", inplace=True), type=images(widths[0], 32), hint="x")
    pool = leaf("MaxPool2d", 3, stride=2, padding=1)
    x = builder.call("maxpool", x, child=pool, type=images(widths[0], 16), hint="x")
    before, size = widths[0], 16
    for index, width in enumerate(widths):
        stride = 1 if index == 0 else 2
        size //= stride
        stage = [basic_block(before, width, size, stride=stride)]
        stage += [basic_block(width, width, size) for _ in range(blocks - 1)]
        layer = sequential(*stage, type=images(width, size), before=images(before, size * stride))
        x = builder.call(f"layer{index + 1}", x, child=layer, type=images(width, size), hint="x")
        before = width
    x = builder.call("avgpool", x, child=leaf("AdaptiveAvgPool2d", 1), type=images(before, 1), hint="x")
    flat = TensorType((2, before), torch.float32)
    x = builder.add("function", "torch:flatten", x, 1, type=flat, hint="x")
    x = builder.call("fc", x, child=leaf("Linear", before, 10), type=TensorType((2, 10), torch.float32), hint="x")
    return Model(builder.build(x, origin="tests.ir.handmade:ResNet"))


def language_model() -> Model:
    """Return a model with own parameters, a constant, a tied weight, recorded initialisation and a tuple output."""
    tokens, width = TensorType((2, 4), torch.int64), TensorType((2, 4, 8), torch.float32)
    builder = Builder("LanguageModel", (Input("tokens", tokens), Input("mask", width, keyword_only=True)))
    builder.parameters["position"] = ParameterSpec(
        TensorType((8,), torch.float32), requires_grad=False, initial=expression("torch:zeros", 8)
    )
    steps = TensorType((4,), torch.int64)
    data = TensorData(steps, torch.arange(4).numpy().tobytes())
    builder.buffers["steps"] = BufferSpec(steps, "temporary", None, data)
    x = builder.call("embed", Value("tokens"), child=leaf("Embedding", 16, 8), type=width, hint="x")
    shape = SequenceType("size", (ScalarType(2), ScalarType(4)))
    size = builder.add("field", "shape", Value("tokens"), type=shape)
    builder.add("function", "operator:getitem", size, 0, type=ScalarType(2), hint="batch")
    position = builder.add("attribute", "position", type=TensorType((8,), torch.float32))
    x = builder.add("function", "operator:add", x, position, type=width, hint="x")
    x = builder.add("function", "operator:mul", x, Value("mask"), type=width, hint="x")
    state = TensorType((1, 2, 8), torch.float32)
    both = SequenceType("tuple", (width, SequenceType("tuple", (state, state))))
    recurrent = leaf("LSTM", 8, 8, batch_first=True)
    pair = builder.call("rnn", x, child=recurrent, type=both)
    x = builder.add("function", "operator:getitem", pair, 0, type=width, hint="x")
    head = leaf("Linear", 8, 16, bias=False, label="head")
    logits = builder.call("head", x, child=head, type=TensorType((2, 4, 16), torch.float32))
    builder.ties.append(Tie("head.weight", "embed.weight"))
    weight = TensorType((16, 8), torch.float32)
    init = Builder("", ())
    embedding = init.add("attribute", "embed.weight", type=weight)
    init.add("function", "torch.nn.init:normal_", embedding, std=0.02, type=weight)
    return Model(builder.build((logits, x), init=init.build(None).graphs[0]))
