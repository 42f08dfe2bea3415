# Set-up, the demo and the checks; `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Two test workers on a small machine; more cores are used where there are any.
WORKERS ?= 2

.PHONY: help setup demo check test test-all format record
help:           ## show this list
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

setup: $(VENV)/.done  ## virtual environment with everything in it

demo: setup     ## phantoms -> train -> predict -> evaluate -> report, under five minutes
	$(BIN)/medseg demo

check: setup    ## lint, format, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check     ## every check and every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term -m "not all"

test-all: check ## the same with the whole grid of networks
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

record: setup   ## after a change to a bundle: its hashes, and the list of what opens in full mode
	$(BIN)/python -m medseg.bundle.recorded

format: setup   ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
