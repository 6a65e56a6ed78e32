"""Other numbers of heads at the same width, in attention that is written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphnas
from graphnas.errors import MutationError
from graphnas.ir.rewrite import Rewriter
from graphnas.mutators.widths import head_sites, set_heads
from tests.zoo import ZOO
from tests.zoo.bert import Bert, BertConfig
from tests.zoo.gpt import GPT, GPTConfig
from tests.zoo.swin import SwinTransformer
from tests.zoo.vit import VisionTransformer

OTHER: dict[str, tuple[str, int, Callable[[], nn.Module]]] = {
    "vit": ("blocks.0.attn:reshape", 6, lambda: VisionTransformer(num_heads=6)),
    "swin": ("layers.0.blocks.0.attn:reshape", 6, lambda: SwinTransformer(num_heads=(6, 6, 12, 24))),
    "gpt": ("transformer.h.0.attn:view", 2, lambda: GPT(GPTConfig(n_head=2))),
    "bert": ("encoder.layer.0.attention.self:view", 8, lambda: Bert(BertConfig(num_attention_heads=8))),
}


@pytest.mark.parametrize("name", OTHER)
def test_a_child_computes_what_the_network_with_so_many_heads_does(name: str) -> None:
    first, heads, build = OTHER[name]
    torch.manual_seed(0)
    with graphnas.recording():
        net = ZOO[name][0]()
    inputs = ZOO[name][1](2)
    edit = Rewriter(graphnas.trace(net, inputs))
    assert next(iter(head_sites(edit))).name == first
    for site in [*head_sites(edit)] if name == "bert" else [next(iter(head_sites(edit)))]:
        set_heads(edit, site, heads)
    expected = build().eval()
    child = graphnas.to_module(edit.freeze()).eval()
    child.load_state_dict(expected.state_dict(), strict=True)
    for ours, theirs in zip(tensors(child(*inputs)), tensors(expected(*inputs)), strict=True):
        torch.testing.assert_close(ours, theirs)


def tensors(result: object) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [tensor for item in result for tensor in tensors(item)] if isinstance(result, (tuple, list)) else []


class Attention(nn.Module):
    def __init__(self, scale: float = 8**-0.5, shared: int = 4) -> None:
        super().__init__()
        self.q = nn.Linear(32, 32)
        self.k = nn.Linear(32, shared * 8)
        self.v = nn.Linear(32, shared * 8)
        self.out = nn.Linear(32, 32)
        self.scale = scale
        self.shared = shared

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(x).view(b, n, 4, 8).transpose(1, 2)
        k, v = (layer(x).view(b, n, self.shared, 8).transpose(1, 2) for layer in (self.k, self.v))
        mixed = F.softmax(q * self.scale @ k.transpose(-2, -1), dim=-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(b, n, 32))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("net", "heads", "message"),
    [
        (Attention(), 3, "a width of 32 cannot be split into 3 heads; choose a divisor"),
        (
            Attention(0.3),
            2,
            "2 heads instead of 4: :mul scales heads by 0.3, which is no known power of their 8 channels",
        ),
        (Attention(shared=1), 2, "2 heads instead of 4: [kv].weight would have another width"),
    ],
)
def test_what_does_not_fit_is_refused(net: nn.Module, heads: int, message: str) -> None:
    edit = Rewriter(graphnas.trace(net, (torch.randn(2, 5, 32),)))
    root = edit.root
    with pytest.raises(MutationError, match=message):
        set_heads(edit, next(iter(head_sites(edit))), heads)
    assert edit.root is root
    assert not edit.edits


class MapAttention(nn.Module):
    """Heads before the channels of each and two dimensions of space, a softmax in a child, and a bias from a table."""

    def __init__(self, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Conv2d(16, 48, 1)
        self.bias = nn.Embedding(9, heads)
        self.attend = nn.Sequential(nn.Softmax(dim=-1), nn.Identity())
        self.out = nn.Conv2d(16, 16, 1)
        self.register_buffer("offsets", torch.arange(81).reshape(9, 9) % 9)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        q, k, v = (
            part.reshape(b, self.heads, 16 // self.heads, h, w).flatten(3) for part in self.qkv(x).chunk(3, dim=1)
        )
        bias = 16 * torch.sigmoid(self.bias(self.offsets)).permute(2, 0, 1)
        mixed = self.attend((q.transpose(2, 3) * (16 // self.heads) ** -0.5) @ k + bias) @ v.transpose(2, 3)
        return self.out(mixed.transpose(2, 3).reshape(b, 16, h, w))  # type: ignore[no-any-return]


def test_heads_before_space_change_with_a_table_of_biases() -> None:
    inputs = torch.randn(2, 16, 3, 3)
    edit = Rewriter(graphnas.trace(MapAttention(), (inputs,)))
    (site,) = head_sites(edit)
    set_heads(edit, site, 2)
    expected = MapAttention(2).eval()
    child = graphnas.to_module(edit.freeze()).eval()
    child.load_state_dict(expected.state_dict(), strict=True)
    torch.testing.assert_close(child(inputs), expected(inputs))
