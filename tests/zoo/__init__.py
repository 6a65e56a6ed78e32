"""Eight networks of the field in plain torch.nn, written as people write them: with flags, helpers and branches.

Generated source is judged by what it makes of these. They are small where size is not what they show.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.zoo.bert import Bert, BertConfig
from tests.zoo.convnext import ConvNeXt
from tests.zoo.gpt import GPT, GPTConfig
from tests.zoo.mobilenetv3 import mobilenet_v3_large
from tests.zoo.resnet import resnet50
from tests.zoo.swin import SwinTransformer
from tests.zoo.unet import UNet
from tests.zoo.vit import VisionTransformer


def images(batch: int = 2, size: int = 64) -> Tensor:
    """Return images `(N, 3, size, size)`."""
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(batch))


def tokens(batch: int = 2, length: int = 16) -> Tensor:
    """Return token ids `(N, L)` below 100."""
    return torch.randint(0, 100, (batch, length), generator=torch.Generator().manual_seed(batch))


def bert_inputs(batch: int = 2) -> tuple[Tensor, Tensor]:
    """Return token ids and the mask of what is no padding."""
    mask = torch.ones(batch, 16, dtype=torch.long)
    mask[0, 12:] = 0
    return tokens(batch), mask


ZOO: dict[str, tuple[Callable[[], nn.Module], Callable[[int], tuple[Tensor, ...]]]] = {
    "resnet50": (resnet50, lambda batch: (images(batch),)),
    "mobilenetv3": (mobilenet_v3_large, lambda batch: (images(batch),)),
    "vit": (VisionTransformer, lambda batch: (images(batch),)),
    "swin": (SwinTransformer, lambda batch: (images(batch),)),
    "convnext": (ConvNeXt, lambda batch: (images(batch),)),
    "unet": (UNet, lambda batch: (images(batch),)),
    "bert": (lambda: Bert(BertConfig()), bert_inputs),
    "gpt": (lambda: GPT(GPTConfig()), lambda batch: (tokens(batch),)),
}
"""How each network is built, and inputs for it at a batch size."""
