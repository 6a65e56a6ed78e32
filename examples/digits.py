"""Search a small convolutional network for handwritten digits, and keep the winner as plain PyTorch source.

The data is scikit-learn's bundled copy of the UCI test set of handwritten digits: 1,797 real images of 8 x 8 pixels.
A candidate is trained on 1,000 of them and judged on 397; the remaining 400 are looked at once, for the winner.

    python examples/digits.py                       run the search; results go to graphnas-demo/
    python examples/digits.py --resume FOLDER       go on with a search that was interrupted
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # importing torch takes seconds, in which Ctrl-C should not end in a traceback
    signal.signal(signal.SIGINT, lambda *_: sys.exit("\ninterrupted before the search began; nothing was written"))

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

import graphnas
from graphnas import LayerChoice, Repeat, ValueChoice

TRIALS = 24
EPOCHS = 12


class Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input is carried."""

    def __init__(self, width: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.act(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return self.act(out + x)  # type: ignore[no-any-return]  # modules are not typed


class Separable(nn.Module):
    """A depthwise convolution and a pointwise one."""

    def __init__(self, width: Any) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.pointwise(self.depthwise(x))))  # type: ignore[no-any-return]  # as above


def plain_block(width: Any) -> nn.Module:
    """One convolution."""
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


@graphnas.model_wrapper
class DigitNet(nn.Module):
    """The space: which blocks, how many, how wide, and how large the first kernel is."""

    def __init__(self) -> None:
        super().__init__()
        width = ValueChoice([8, 16, 24], label="width")
        kernel = ValueChoice([3, 5], label="kernel")
        self.stem = nn.Conv2d(1, width, kernel, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU()
        self.blocks = Repeat(
            lambda index: LayerChoice(
                {"plain": plain_block(width), "residual": Residual(width), "separable": Separable(width)},
                label=f"block{index}",
            ),
            depth=(1, 3),
            label="depth",
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        x = self.blocks(x)
        x = torch.flatten(self.pool(x), 1)
        return self.head(x)  # type: ignore[no-any-return]  # modules are not typed


class SwapActivation(graphnas.Mutator):
    """Choose one activation for the whole network, whatever blocks it is made of."""

    def mutate(self, model: Any) -> None:
        choice = self.choice(["ReLU", "GELU", "SiLU", "Hardswish"])
        for site in model.find(type="ReLU"):
            if choice != "ReLU":
                model.set_module(site.module_path, graphnas.ModuleSpec(f"torch.nn:{choice}"))


def load_data() -> dict[str, tuple[Tensor, Tensor]]:
    """Return images (N, 1, 8, 8), scaled to 0..1, and labels (N,) of the three parts."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    parts = {"train": order[:1000], "validation": order[1000:1397], "test": order[1397:]}
    return {name: (images[part], labels[part]) for name, part in parts.items()}


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images, 0 to 1, that a model labels rightly."""
    model.eval()
    with torch.no_grad():
        return float((model(images).argmax(dim=1) == labels).float().mean())


def train(build_model: Any, epochs: int) -> float:
    """Train one candidate, keep its weights in the trial's folder, and return its validation accuracy."""
    data = load_data()
    images, labels = data["train"]
    model = build_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-2, epochs=epochs, steps_per_epoch=-(-len(labels) // 50)
    )
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(labels)).view(-1, 50):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            optimizer.step()
            schedule.step()
        graphnas.report_intermediate_result(accuracy(model, *data["validation"]))
    save_file(model.state_dict(), graphnas.current_trial().directory / "weights.safetensors")
    return accuracy(model, *data["validation"])


def free_folder() -> Path:
    """Return `graphnas-demo`, or the first of `graphnas-demo-2`, `graphnas-demo-3`, ... that does not exist."""
    folder, number = Path("graphnas-demo"), 1
    while folder.exists():
        number += 1
        folder = Path(f"graphnas-demo-{number}")
    if number > 1:
        print(f"graphnas-demo is there already: this run writes to {folder}/")
    return folder


def search(folder: Path, resume: bool) -> graphnas.RetiariiExperiment:
    """Run the search, or go on with one."""
    if resume:
        return graphnas.RetiariiExperiment.resume(str(folder), base_model=make_space(), evaluator=make_evaluator())
    experiment = graphnas.RetiariiExperiment(
        make_space(),
        make_evaluator(),
        strategy=graphnas.strategy.RegularizedEvolution(population_size=8, sample_size=4, mutation_prob=0.3, seed=0),
    )
    experiment.run(
        graphnas.RetiariiExeConfig(
            "local", trial_concurrency=2, max_trial_number=TRIALS, experiment_directory=folder, experiment_name="digits"
        )
    )
    return experiment


def make_space() -> graphnas.ModelSpace:
    """Return the space: inline choices and a mutator together."""
    return graphnas.ModelSpace(DigitNet(), [SwapActivation(label="activation")], (torch.zeros(2, 1, 8, 8),))


def make_evaluator() -> graphnas.FunctionalEvaluator:
    """Return what judges a candidate."""
    return graphnas.FunctionalEvaluator(train, epochs=EPOCHS)


CHECK = """
import sys
sys.modules["graphnas"] = None  # importing it fails from here on
sys.path.insert(0, sys.argv[1])
import torch
from safetensors.torch import load_file
import best_model
model = getattr(best_model, sys.argv[2])()
model.load_state_dict(load_file(sys.argv[1] + "/best_model.safetensors"), strict=True)
model.eval()
part = load_file(sys.argv[1] + "/test_split.safetensors")
with torch.no_grad():
    right = (model(part["images"]).argmax(dim=1) == part["labels"]).float().mean()
print(float(right))
"""


def export(experiment: graphnas.RetiariiExperiment, folder: Path) -> None:
    """Write the winner in all its forms, test it once, and check that it stands on its own."""
    best = experiment.best
    if best is None:
        raise SystemExit("no trial has completed; nothing to export")
    space = make_space()
    winner = space.freeze(best["decisions"])
    source = folder / "best_model.py"
    [code] = experiment.export_top_models(1, formatter="code")
    source.write_text(str(code))
    (folder / "best_model.json").write_text(json.dumps(experiment.export_top_models(1)[0], indent=2) + "\n")
    graphnas.draw(winner, folder / "best_model.svg", base=space.freeze(space.default()))
    weights = folder / "best_model.safetensors"
    shutil.copyfile(folder / "trials" / str(best["number"]) / "weights.safetensors", weights)

    images, labels = load_data()["test"]
    model = graphnas.to_module(winner)
    model.load_state_dict(load_file(weights), strict=True)
    reported = accuracy(model, images, labels)
    save_file({"images": images, "labels": labels}, folder / "test_split.safetensors")
    child = subprocess.run(
        [sys.executable, "-c", CHECK, str(folder), winner.name], capture_output=True, text=True, check=False
    )
    if child.returncode or abs(float(child.stdout) - reported) > 1e-6:
        raise SystemExit(f"{source} does not stand on its own:\n{child.stdout}{child.stderr}")

    print(f"\nbest: trial {best['number']}, validation accuracy {best['metric']:.4f}, test accuracy {reported:.4f}")
    print(f"{source.name} gave the same test accuracy in a fresh interpreter without graphnas\n")
    for name, what in (
        ("best_model.py", "the winner as standalone PyTorch source"),
        ("best_model.json", "its decisions, for graphnas.fixed_arch"),
        ("best_model.svg", "its graph, changes against the default marked"),
        ("best_model.safetensors", "its trained weights"),
        ("experiment.db", "all trials"),
    ):
        print(f"  {folder / name!s:<40} {what}")
    print(f"\nnext: less {source}\n      python examples/digits.py --resume {folder}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--resume", metavar="FOLDER", type=Path, help="go on with an interrupted search")
    resumed: Path | None = parser.parse_args().resume
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = resumed or free_folder()
    try:
        export(search(folder, resumed is not None), folder)
    except KeyboardInterrupt:
        print(f"\ninterrupted; go on with: python examples/digits.py --resume {folder}")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
