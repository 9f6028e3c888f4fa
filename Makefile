# SimulGen Pipeline: `make demo` and `make test` need Python 3.11+ and make, nothing else.
export DO_NOT_TRACK := 1
# Threads that wait soon fall asleep: spinning ones are slow on a machine that others use too.
export GOMP_SPINCOUNT := 10000

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test lint types imports unit viz 

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

# The stamps say which extras are installed, so that nothing is installed twice.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) --constraint constraints.txt --editable '.[demo]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed  ## Make data, train, predict held-back designs, say how good it is
	$(BIN)/kedro run --pipeline=demo_data
	$(BIN)/kedro run --pipeline=full_vae
	$(BIN)/kedro run --pipeline=predict
	$(BIN)/kedro summary --truth=data/01_raw/new_simulations.h5

test: lint types imports unit  ## Every check: lint, types, import contracts, tests

lint: $(VENV)/.installed-dev  ## Style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.installed-dev  ## Static types
	$(BIN)/mypy

imports: $(VENV)/.installed-dev  ## Which layer may import which
	$(BIN)/lint-imports

unit: $(VENV)/.installed-dev  ## Tests, one real run of each pipeline among them
	$(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

viz: $(VENV)/.installed  ## The lineage in the browser
	$(BIN)/kedro viz run --pipeline=full_vae
