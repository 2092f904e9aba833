# make demo    the main job on the shipped model, shown
# make test    the tests
# make check   lint, types, tests: what CI runs
# make bench   how fast it is, as ratios: a table, and benchmarks/results/*.json (docs/performance.md)
# make fuzz    hostile files at every door, for SECONDS (60): fuzz/README.md
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint check bench bench-tiny fuzz docs clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints/dev.txt -e '.[dev]'
	touch $@

demo: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh demo-out

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

bench: setup
	$(BIN)/python -m benchmarks

bench-tiny: setup
	$(BIN)/python -m benchmarks --tiny --out bench-work/tiny

SECONDS ?= 60

fuzz: setup
	$(BIN)/python -m fuzz --seconds $(SECONDS)

docs: setup
	$(BIN)/python docs/generate_cli.py

clean:
	rm -rf $(VENV) demo-out bench-work fuzz-out build dist
