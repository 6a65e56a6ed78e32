"""The laws of the engine, checked on real models of a corpus; run it with an interpreter that has their packages.

    PYTHONPATH=. ZOO/venv/bin/python -m tests.zoo.laws ../shared/zoo/corpus_dev.tsv [--only REGEX] [--seeds 0,1,2]

Of each model: its source is byte-identical in processes with different `PYTHONHASHSEED`; the text and the JSON form
read back as an equal model with an equal report; the invariants hold; a second build has the same key and fingerprint;
tracing the generated module generates the same source; what is opaque is reported; `ruff check` finds nothing.

The corpus stands beside `zoocommon.py`, which builds the models. Every model runs in a process of its own. A row that
cannot be traced, or has no source, breaks no law but is counted.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from torch import nn

import graphnas
from graphnas.ir.json_form import dump_json, from_json
from graphnas.ir.model import Model
from graphnas.ir.module import ModuleSpec
from graphnas.ir.text import parse_model
from graphnas.ir.verify import verified

Row = Mapping[str, str]
Findings = dict[str, str]
"""By the name of the law, in what way it is broken; the empty string where it holds."""


def text_form(model: Model) -> str:
    text = str(model)
    read = parse_model(text)
    return "" if read == model and str(read) == text else "the text reads back as another model"


def json_form(model: Model) -> str:
    read = from_json(dump_json(model))
    if read != model:
        return "JSON reads back as another model"
    return "" if read.report == model.report else "JSON reads back with another report"


def invariants(model: Model) -> str:
    return "" if verified(model) == model else "types are inferred otherwise than they were traced"


def opaque_is_reported(model: Model) -> str:
    kept = {path for path, part in model.root.walk() if isinstance(part, ModuleSpec) and part.opaque}
    reported = {item.path for item in model.report.opaque} if model.report else set()
    missing = sorted(path for path in kept if path not in reported and not _is_shared(model, path))
    return f"opaque, but not reported: {', '.join(missing[:5])}" if missing else ""


def _is_shared(model: Model, path: str) -> bool:
    shared = model.report.shared if model.report else ()
    return any(path == known or path.startswith(f"{known}.") for item in shared for known in item.paths)


OF_A_MODEL: dict[str, Callable[[Model], str]] = {
    "text form": text_form,
    "JSON form": json_form,
    "invariants": invariants,
    "opaque is reported": opaque_is_reported,
}


def source(model: Model, folder: Path) -> tuple[Path, str]:
    path = graphnas.save(model, folder / "model.py", format=False)
    return path, path.read_text(encoding="utf-8")


def load(path: Path, name: str) -> nn.Module:
    spec = importlib.util.spec_from_file_location(f"generated_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    with graphnas.recording():
        built = getattr(module, name)()
    assert isinstance(built, nn.Module)
    return built.eval()


def same_again(first: Model, text: str, again: Model, folder: Path) -> str:
    if again.fingerprint != first.fingerprint:
        return "the fingerprint differs"
    if again.key != first.key:
        return "the key differs"
    return "" if source(again, folder)[1] == text else "the source differs"


def fixed_point(path: Path, model: Model, text: str, inputs: Any, folder: Path) -> str:
    generated = graphnas.trace(load(path, model.name), inputs)
    second = source(generated, folder)[1]
    if second == text:
        return ""
    pairs = zip_longest(text.splitlines(), second.splitlines(), fillvalue="")
    differing = [(line, *pair) for line, pair in enumerate(pairs, 1) if pair[0] != pair[1]]
    line, old, new = next((item for item in differing if not item[1].startswith("Fingerprint:")), differing[0])
    return f"{len(differing)} lines, such as {line}: {old.strip()[:70]!r} becomes {new.strip()[:70]!r}"


def lint(path: Path, ruff: str | None) -> str:
    if ruff is None:
        return ""
    done = subprocess.run(
        [ruff, "check", "--isolated", "--output-format", "concise", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout.partition(": ")[2].partition("\n")[0]


def examine(zoo: Any, row: Row, *, everything: bool, ruff: str | None) -> dict[str, Any]:
    """Return the hash of the source of a row, and what was found of the laws that need one process only."""
    inputs = zoo.make_inputs(row["inputs"], 1)
    with graphnas.recording():
        net = zoo.build(row)
    model = graphnas.trace(net, inputs)
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / name for name in ("first", "again", "generated")]
        path, text = source(model, folders[0])
        found: Findings = {}
        if everything:
            laws: dict[str, Callable[[], str]] = {name: lambda law=law: law(model) for name, law in OF_A_MODEL.items()}  # type: ignore[misc]  # bound early
            with graphnas.recording():
                second = zoo.build(row)
            laws["second build"] = lambda: same_again(model, text, graphnas.trace(second, inputs), folders[1])
            laws["fixed point"] = lambda: fixed_point(path, model, text, inputs, folders[2])
            laws["ruff check"] = lambda: lint(path, ruff)
            for name, law in laws.items():
                try:
                    found[name] = law()
                except Exception as error:
                    found[name] = f"{type(error).__name__}: {str(error)[:200]}"
    return {"hash": hashlib.sha256(text.encode()).hexdigest(), "laws": found}


def work(arguments: argparse.Namespace) -> None:
    """Print a line of JSON for each row; what the parent runs once for each hash seed."""
    zoo = _zoo(arguments.corpus)
    for row in _rows(zoo, arguments):
        job = (zoo, row)
        status, value = zoo.forked(_job, (*job, arguments.worker == "first", arguments.ruff), timeout=arguments.timeout)
        if status != "ok":
            first = str(value).partition("\n")[0]
            value = {"hash": "", "laws": {}, "error": f"{status}: {first}"}
        print(json.dumps({"id": row["id"], **value}), flush=True)


def _job(zoo: Any, row: Row, everything: bool, ruff: str | None) -> dict[str, Any]:
    return examine(zoo, row, everything=everything, ruff=ruff)


def _zoo(corpus: str) -> Any:
    sys.path.insert(0, str(Path(corpus).resolve().parent))
    zoo = importlib.import_module("zoocommon")
    zoo.setup()
    return zoo


def _rows(zoo: Any, arguments: argparse.Namespace) -> Iterator[Row]:
    for row in zoo.read_tsv(arguments.corpus):
        if not arguments.only or re.search(arguments.only, row["id"]):
            yield row


def _start(seed: str, first: bool) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.zoo.laws", *sys.argv[1:], "--worker", "first" if first else "other"]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def compare(arguments: argparse.Namespace) -> int:
    """Run the workers one after the other, print which laws hold for how many rows, and return how often none does."""
    results: dict[str, list[dict[str, Any]]] = {}
    for index, seed in enumerate(arguments.seeds.split(",")):
        worker = _start(seed, index == 0)
        assert worker.stdout is not None
        for line in worker.stdout:
            item = json.loads(line)
            results.setdefault(item["id"], []).append(item)
            breaches = ", ".join(law for law, found in item["laws"].items() if found)
            print(f"[seed {seed}] {item['id']}: {item.get('error') or breaches or 'ok'}", file=sys.stderr)
        if worker.wait():
            raise SystemExit(f"the worker with PYTHONHASHSEED={seed} ended with {worker.returncode}")
    checked: dict[str, dict[str, str]] = {}
    errors: dict[str, str] = {}
    for name, runs in results.items():
        if any("error" in run for run in runs):
            errors[name] = next(run["error"] for run in runs if "error" in run)
            continue
        alike = len({run["hash"] for run in runs}) == 1
        checked.setdefault("same source under every hash seed", {})[name] = "" if alike else "the source differs"
        for law, found in runs[0]["laws"].items():
            checked.setdefault(law, {})[name] = found
    total = 0
    for law, findings in checked.items():
        broken = {name: found for name, found in findings.items() if found}
        total += len(broken)
        print(f"{law}: {len(findings) - len(broken)}/{len(findings)}")
        for name, found in broken.items():
            print(f"    {name}: {found}")
    if errors:
        print(f"without source: {len(errors)}")
        for name, error in errors.items():
            print(f"    {name}: {error[:200]}")
    return total


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo.laws", description="Check the laws on real models.")
    parser.add_argument("corpus", help="table of models, beside zoocommon.py")
    parser.add_argument("--only", help="regular expression over the names of models")
    parser.add_argument("--seeds", default="0,1,2", help="values of PYTHONHASHSEED, by commas")
    parser.add_argument("--timeout", type=float, default=180.0, help="seconds for one model")
    parser.add_argument("--ruff", default=shutil.which("ruff"), help="the linter; without it that law is passed over")
    parser.add_argument("--worker", choices=("first", "other"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
    else:
        raise SystemExit(1 if compare(arguments) else 0)


if __name__ == "__main__":
    main()
