from __future__ import annotations

import pytest

from graphnas.errors import ConfigError
from graphnas.experiment.config import (
    BaseEngineConfig,
    EngineConfig,
    PyEngineConfig,
    RetiariiExeConfig,
    engine,
    load_engine,
    register_engine,
    registered_engines,
)
from graphnas.experiment.engines import GraphEngine, PyEngine


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_ENGINES", dict(engine._ENGINES))


def test_a_higher_layer_can_register_an_engine() -> None:
    register_engine("mine", "graphnas.experiment.engines:PyEngine")
    assert registered_engines()[-1] == "mine"
    assert RetiariiExeConfig(execution_engine="mine").execution_engine == "mine"
    with pytest.raises(ConfigError, match="the name 'py' is taken"):
        register_engine("py", "elsewhere:Engine")
    with pytest.raises(ConfigError, match=r"expected 'package\.module:attribute', got 'elsewhere'"):
        register_engine("other", "elsewhere")
    with pytest.raises(ConfigError, match=r"execution_engine\.speed: the engine 'mine' has no settings"):
        RetiariiExeConfig(execution_engine={"name": "mine", "speed": 2})  # type: ignore[arg-type]  # as from YAML


class Settings(EngineConfig):
    name = "tuned"


class Picky(EngineConfig):
    name = "picky"

    def __init__(self, table: str) -> None:
        super().__init__()


def test_what_the_settings_of_an_engine_need_is_named() -> None:
    register_engine("picky", "graphnas.experiment.engines:PyEngine", f"{__name__}:Picky")
    with pytest.raises(ConfigError, match=r"execution_engine\.table: is missing; Picky needs it"):
        RetiariiExeConfig.from_json({"execution_engine": {"name": "picky"}})
    with pytest.raises(ConfigError, match=r"execution_engine\.tabel: .*did you mean 'execution_engine\.table'"):
        RetiariiExeConfig.from_json({"execution_engine": {"name": "picky", "tabel": "x"}})


def test_an_engine_can_have_settings_of_its_own() -> None:
    register_engine("tuned", "graphnas.experiment.engines:PyEngine", f"{__name__}:Settings")
    config = RetiariiExeConfig.from_json({"execution_engine": {"name": "tuned"}})
    assert config.execution_engine == Settings()
    assert config.engine_name == "tuned"


def test_engines_are_loaded_by_name_or_by_settings() -> None:
    assert load_engine("base") is GraphEngine
    assert load_engine(BaseEngineConfig()) is GraphEngine
    assert load_engine(PyEngineConfig()) is PyEngine
    with pytest.raises(
        ConfigError, match="no execution engine 'cgo' is registered; the registered ones are 'py', 'graph', 'benchmark'"
    ):
        load_engine("cgo")


@pytest.mark.parametrize("shape", [[1, 3, 32, 32], [[1, 3, 8, 8], [1, 10]], None])
def test_the_shape_of_a_dummy_input(shape: object) -> None:
    assert BaseEngineConfig(dummy_input=shape).dummy_input == shape


@pytest.mark.parametrize("shape", [[], [0, 3], [[1, 3], []], "1,3", [True, 3], 3])
def test_a_wrong_shape_of_a_dummy_input(shape: object) -> None:
    with pytest.raises(ConfigError, match=r"execution_engine\.dummy_input: expected the shape"):
        BaseEngineConfig(dummy_input=shape)
