from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment.evaluators import FunctionalEvaluator, evaluator_from_json
from graphnas.experiment.evaluators.reference import reference_to, resolve
from graphnas.mutators.scripts import load_script

from . import samples


def test_an_importable_function_is_kept_by_its_import_path() -> None:
    kept = json.loads(json.dumps(FunctionalEvaluator(samples.weights, scale=2.0).to_json()))
    again = evaluator_from_json(kept)
    assert isinstance(again, FunctionalEvaluator)
    assert again.function is samples.weights
    assert again.kwargs == {"scale": 2.0}


def test_what_has_no_name_has_no_form() -> None:
    def closure(build: object) -> float:
        return 1.0

    assert FunctionalEvaluator(lambda build: 1.0).to_json() is None
    assert FunctionalEvaluator(closure).to_json() is None
    assert FunctionalEvaluator(samples.weights, scale=(1, 2)).to_json() is None, "JSON would make it a list"


def test_a_function_of_a_script_is_kept_by_file_and_name(tmp_path: Path) -> None:
    script = tmp_path / "my script.py"
    script.write_text("def judge(build):\n    return 4.0\n\nif __name__ == '__main__':\n    raise SystemExit('ran')\n")
    reference = {"script": str(script), "name": "judge"}
    judge = resolve(reference)
    assert judge(None) == 4.0
    assert reference_to(judge) == reference
    with pytest.raises(ExperimentError, match="there is no 'jury' any more"):
        resolve({**reference, "name": "jury"})
    with pytest.raises(ExperimentError, match=r"gone\.py: cannot be loaded"):
        resolve({"script": str(tmp_path / "gone.py"), "name": "judge"})
    del sys.modules[load_script(script).__name__]


def test_a_result_instead_of_a_function_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected a function, got 0\.5; pass it without calling it"):
        FunctionalEvaluator(0.5)  # type: ignore[arg-type]  # the wrong type is the point
