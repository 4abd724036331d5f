# `make demo` and `make test` set up what they need in .venv; no root needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint format bench fuzz coverage clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[dev]' -c constraints.txt
	touch $@

demo: $(READY)  ## mlp3 for the PYNQ-Z2: generate, csim, simulate, synthesize
	$(BIN)/jp-hw models
	$(BIN)/jp-hw generate mlp3 --board pynq-z2 -o build/demo --force
	$(BIN)/jp-hw csim build/demo
	$(BIN)/jp-hw simulate build/demo --images 20
	$(BIN)/jp-hw synth build/demo

test: $(READY)  ## all tests, two files at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## benchmarks, as JSON on standard output
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.dense_twin
	$(BIN)/python -m benchmarks.networks
	$(BIN)/python -m benchmarks.networks --only resnet8 --utilization 0.84
	$(BIN)/python -m benchmarks.alexnet

N ?= 100
fuzz: $(READY)  ## N random networks: golden, csim, RTL (a tenth) and the cycle model, all equal
	$(BIN)/python tests/fuzz.py --networks $(N)

coverage: $(READY)  ## line and toggle coverage of the static RTL by its tests, as JSON
	$(BIN)/python -m rtl_tests.coverage --sets 1

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
