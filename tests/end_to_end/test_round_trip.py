"""The main promise: trace, write source, load it elsewhere, get the same model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import graphnas
from tests.networks import ResNet18, TransformerEncoder

FRESH = """
import sys
sys.modules["graphnas"] = None  # importing it fails from here on
import torch
sys.path.insert(0, sys.argv[1])
import model
module = getattr(model, sys.argv[2])()
data = torch.load(sys.argv[1] + "/data.pt", weights_only=True)
module.load_state_dict(data["state"], strict=True)
for training in (False, True):
    module.train(training)
    torch.manual_seed(1)
    assert torch.equal(module(data["x"]), data["outputs"][training]), training
    if not training:
        assert torch.equal(module(data["more"]), data["more_output"])
print("equal")
"""


def images(batch: int) -> Tensor:
    return torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(batch))


def tokens(batch: int) -> Tensor:
    return torch.randint(0, 50, (batch, 8), generator=torch.Generator().manual_seed(batch))


def torch_encoder() -> nn.Module:
    """Return an encoder of torch's own layers, which stay whole."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
    return nn.Sequential(nn.Embedding(50, 32), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))


CASES = [(ResNet18, images), (TransformerEncoder, tokens), (torch_encoder, tokens)]


@pytest.mark.parametrize(("build", "inputs"), CASES)
def test_source_computes_the_same_in_a_fresh_process(
    build: Callable[[], nn.Module], inputs: Callable[[int], Tensor], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    with graphnas.recording():
        original = build()
    x, more = inputs(2), inputs(3)
    model = graphnas.trace(original, (x,))
    graphnas.save(model, tmp_path / "model.py")
    state = {name: value.clone() for name, value in original.state_dict().items()}
    more_output = original.eval()(more).detach()
    outputs = {}
    for training in (False, True):
        original.train(training)
        torch.manual_seed(1)
        outputs[training] = original(x).detach()
    data = {"x": x, "more": more, "state": state, "more_output": more_output, "outputs": outputs}
    torch.save(data, tmp_path / "data.pt")
    child = subprocess.run(
        [sys.executable, "-c", FRESH, str(tmp_path), model.name], capture_output=True, text=True, check=False
    )
    assert child.stdout.strip() == "equal", child.stderr


@pytest.mark.parametrize(("build", "inputs"), CASES)
def test_a_fresh_module_starts_from_the_distribution_of_the_original(
    build: Callable[[], nn.Module], inputs: Callable[[int], Tensor]
) -> None:
    """Per parameter, mean and standard deviation over five builds agree within five standard errors."""
    with graphnas.recording():
        model = graphnas.trace(build(), (inputs(2),))
    ours, theirs = [], []
    for seed in range(5):
        torch.manual_seed(seed)
        theirs.append(dict(build().named_parameters()))
        torch.manual_seed(100 + seed)
        ours.append(dict(graphnas.to_module(model).named_parameters()))
    assert list(ours[0]) == list(theirs[0])
    for name in ours[0]:
        a, b = (torch.cat([built[name].detach().flatten() for built in side]) for side in (ours, theirs))
        spread = float(b.std()) or 1e-12
        error = 5 * spread / (a.numel() ** 0.5)
        assert abs(float(a.mean() - b.mean())) <= 2 * error, name
        assert abs(float(a.std() - b.std())) <= 2 * error, name


def test_the_same_seed_gives_the_same_tensors_where_the_order_of_random_calls_is_kept() -> None:
    with graphnas.recording():
        model = graphnas.trace(ResNet18(), (images(2),))
    torch.manual_seed(3)
    original = ResNet18()
    torch.manual_seed(3)
    generated = graphnas.to_module(model)
    for name, value in original.state_dict().items():
        assert torch.equal(value, generated.state_dict()[name]), name


def test_tracing_the_generated_module_gives_the_same_source() -> None:
    with graphnas.recording():
        first = graphnas.trace(ResNet18(), (images(2),))
    with graphnas.recording():
        again = graphnas.to_module(first)
    second = graphnas.trace(again, (images(2),))
    assert second.fingerprint == first.fingerprint
    assert graphnas.to_source(second) == graphnas.to_source(first)
