# `make demo` runs the main job, `make test` the tests; both set up .venv by themselves. `make slow` runs the long tests.

PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.installed

.PHONY: demo test slow check perf golden clean

demo: $(SETUP)
	$(BIN)/python examples/digits.py

test: $(SETUP)
	$(BIN)/python -m pytest

slow: $(SETUP)
	$(BIN)/python -m pytest -m slow

check: $(SETUP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

perf: $(SETUP)
	$(BIN)/python -m perf

golden: $(SETUP)
	$(BIN)/python -m pytest --update-golden -q

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "graphnas needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
