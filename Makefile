# make demo    the main job on the shipped model, shown
# make test    the tests
# make check   lint, types, tests: what CI runs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint check docs clean

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

docs: setup
	$(BIN)/python docs/generate_cli.py

clean:
	rm -rf $(VENV) demo-out build dist
