# Everything runs in .venv, which `install` makes; other targets make it when it is not there.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: install demo test check bench bench-gpu soak format clean

install: $(STAMP)

# torch comes first and pinned, so that no looser requirement picks another build of it.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --upgrade pip
	$(PIP) -c constraints.txt torch==2.13.0
	$(PIP) -c constraints.txt --editable '.[all,dev]'
	touch $(STAMP)

demo: install
	$(BIN)/finetune demo --out demo-out

# Two tests at once: most of them wait for processes, not for a core.
test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=20

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Ratios against peers, side by side in one process; minutes, not part of the tests.
bench: install
	$(BIN)/python -m benchmarks

# The same on a CUDA card, against trl on random weights of real shapes.
bench-gpu: install
	$(BIN)/python -m benchmarks gpu --write

# The long versions of what `make test` runs short.
soak: install
	$(BIN)/python -m pytest -m soak --timeout 3600

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv demo-out dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
