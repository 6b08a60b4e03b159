PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

# Compiled modules make every start of `yoke` three times as fast.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test lint types imports unit torture bench reference agents clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: setup
	rm -rf build/demo
	$(BIN)/yoke demo build/demo

test: setup lint types imports unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

unit: setup
	$(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term-missing:skip-covered --cov-fail-under=90

# make torture SECONDS=3600, make torture SEED=1 ROUNDS=500
torture: setup
	$(BIN)/python -m tests.torture --seed $(or $(SEED),1) --seconds $(or $(SECONDS),$(if $(ROUNDS),0,600)) \
		--rounds $(or $(ROUNDS),100000) --keep-going

bench: setup
	$(BIN)/python -m benchmarks

reference: setup
	$(BIN)/python scripts/write_reference.py

agents:
	sh scripts/install-agents.sh

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .coverage*
