"""How many layers of real models can be made wider and narrower; run it with an interpreter that has their packages.

    PYTHONPATH=. ZOO/venv/bin/python -m tests.zoo.widths ../shared/zoo/corpus_dev.tsv [--only REGEX] [--run 4]

Every convolution and linear layer of every model, one at a time, is set to 1.5 times its width, rounded to 8, and to
half of it. A layer makes the output of the model if what it is added to is returned: the refusal says so. Of the
accepted edits it is checked that no node was added, and that the layer has the width; of some of them (`--run`, spread
over the model; all for 0) a module is generated and called with real data.

The corpus stands beside `zoocommon.py`, which builds the models. Every model runs in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import graphnas
from graphnas.errors import MutationError
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, ModuleSpec
from graphnas.ir.resolve import instantiate
from graphnas.ir.rewrite import Rewriter
from graphnas.mutators.widths import set_width

_WIDTHS = re.compile(r"Conv(Transpose)?[123]d|Linear")


def layers(model: Model) -> Iterator[tuple[str, int]]:
    """Yield the path and the width of every convolution and linear layer, shared ones once."""
    shared = {path for item in (model.report.shared if model.report else ()) for path in item.paths[1:]}
    for path, part in model.root.walk():
        spec = part.base if isinstance(part, Definition) else part
        if isinstance(spec, ModuleSpec) and _WIDTHS.fullmatch(spec.type) and path not in shared:
            module = instantiate(spec, "meta")
            width = getattr(module, "out_channels", None) or getattr(module, "out_features", None)
            if width:
                yield path, width


def edits(model: Model) -> Iterator[tuple[str, str, int]]:
    """Yield what is tried of a model: the path, which edit it is, and the width."""
    for path, width in layers(model):
        yield path, "widen", (int(width * 1.5) + 4) // 8 * 8 if width > 4 else 8
        if width > 1:
            yield path, "narrow", width // 2


def size(model: Model) -> int:
    return sum(
        len(graph.nodes) for _, part in model.root.walk() if isinstance(part, Definition) for graph in part.graphs
    )


def attempt(model: Model, path: str, width: int) -> tuple[str, Model | None]:
    """Return why an edit is refused, or the empty string and the model that it gives."""
    edit = Rewriter(model)
    try:
        set_width(edit, path, width)
    except MutationError as error:
        if edit.edits:
            return f"REFUSED BUT CHANGED: {error}", None
        return str(error), None
    return "", edit.freeze()


def runs(model: Model, inputs: tuple[Any, ...]) -> str:
    """Return what is wrong with a model when it is built and called, the empty string if nothing is."""
    try:
        with torch.no_grad():
            graphnas.to_module(model).eval()(*inputs)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


def examine(zoo: Any, row: Mapping[str, str], count: int) -> dict[str, Any]:
    inputs = zoo.make_inputs(row["inputs"], 1)
    with graphnas.recording():
        net = zoo.build(row)
    model = graphnas.trace(net, inputs)
    found: dict[str, Any] = {"counts": Counter(), "refused": [], "broken": []}
    plan = [*edits(model)]
    step = max(1, len(plan) // count) if count else 1
    nodes = size(model)
    for index, (path, kind, width) in enumerate(plan):
        why, child = attempt(model, path, width)
        outcome = "output" if "the output of the model" in why else "refused" if why else "accepted"
        found["counts"][f"{kind} {outcome}"] += 1
        if outcome == "refused":
            found["refused"].append(why[:300])
        elif child is not None:
            wrong = "nodes were added" if size(child) != nodes else ""
            wrong = wrong or ("" if dict(layers(child))[path] == width else "it has another width")
            if not wrong and index % step == 0:
                wrong = runs(child, inputs)
                found["counts"]["run"] += 1
            if wrong:
                found["broken"].append(f"{path} {kind}: {wrong}")
    return found


def report(results: Mapping[str, dict[str, Any]]) -> None:
    total: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for name, found in results.items():
        counts = Counter(found["counts"])
        total += counts
        shares = []
        for kind in ("widen", "narrow"):
            tried = counts[f"{kind} accepted"] + counts[f"{kind} refused"]
            shares.append(f"{counts[f'{kind} accepted']}/{tried}")
        print(f"{name}: widen {shares[0]}, narrow {shares[1]}, output {counts['widen output']}, run {counts['run']}")
        reasons.update(_general(item) for item in found["refused"])
        for item in found["broken"]:
            print(f"    BROKEN {item}")
    for kind in ("widen", "narrow"):
        accepted, refused = total[f"{kind} accepted"], total[f"{kind} refused"]
        share = 100 * accepted / max(accepted + refused, 1)
        print(f"{kind}: {accepted}/{accepted + refused} = {share:.1f} %, and {total[f'{kind} output']} make the output")
    print("why not:")
    for reason, count in reasons.most_common(25):
        print(f"    {count} {reason}")


def _general(why: str) -> str:
    """Return a refusal without the names of one model."""
    tail = why.rpartition(": they meet ")[2] if ": they meet " in why else re.sub(r"^\S+ ", "", why)
    return re.sub(r"[\w.]*:\w+|\d+", "*", tail)[:150]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo.widths", description="Try widths on real models.")
    parser.add_argument("corpus", help="table of models, beside zoocommon.py")
    parser.add_argument("--only", help="regular expression over the names of models")
    parser.add_argument("--run", type=int, default=4, help="how many edits of a model are built and called; 0 for all")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one model")
    parser.add_argument("--refused", action="store_true", help="print every refusal")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(arguments.corpus).resolve().parent))
    zoo: Any = importlib.import_module("zoocommon")
    zoo.setup()
    results: dict[str, dict[str, Any]] = {}
    for row in zoo.read_tsv(arguments.corpus):
        if arguments.only and not re.search(arguments.only, row["id"]):
            continue
        status, value = zoo.forked(examine, (zoo, row, arguments.run), timeout=arguments.timeout)
        if status != "ok":
            print(f"{row['id']}: {status}: {str(value)[-300:]}", file=sys.stderr)
            continue
        results[row["id"]] = value
        print(f"{row['id']}: {json.dumps(value['counts'])}", file=sys.stderr, flush=True)
        if arguments.refused:
            for item in value["refused"]:
                print(f"    {item}", file=sys.stderr)
    report(results)


if __name__ == "__main__":
    main()
