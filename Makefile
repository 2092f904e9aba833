# make demo    the main job on the shipped model, shown
# make test    the tests, on all cores
# make check   lint, types, tests: what CI runs
# make bench   how fast it is, as ratios: a table, and benchmarks/results/*.json (docs/performance.md)
# make release-check    the wheel, installed alone in a bare environment, traces a clip
# make fuzz    hostile files at every door, for SECONDS (60): fuzz/README.md
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint check bench bench-tiny fuzz docs release-check clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints/dev.txt -e '.[dev]'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # pip would use one core; some files are of no Python 3
	touch $@

demo: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh demo-out

test: setup
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

bench: setup
	$(BIN)/python -m benchmarks

# The tests run what is left out here.
TINY := pairs training training_gpu convergence extraction tracing gallery serving

bench-tiny: setup
	$(BIN)/python -m benchmarks $(TINY) --tiny --out bench-work/tiny

SECONDS ?= 60

fuzz: setup
	$(BIN)/python -m fuzz --seconds $(SECONDS)

docs: setup
	for page in docs/generate_*.py; do $(BIN)/python $$page || exit 1; done

release-check: setup
	PYTHON=$(BIN)/python bash .ci/release-check

clean:
	rm -rf $(VENV) demo-out bench-work fuzz-out build dist
