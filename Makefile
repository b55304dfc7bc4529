# `make run` and `make test` need Python 3.11 or later, git and make, and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run demo test bench fuzz lint clean

run: $(VENV)/.installed
	@exec $(BIN)/appliance run

demo: $(VENV)/.installed
	@exec $(BIN)/appliance demo

test: $(VENV)/.tested
	@tests/programs.sh
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

bench: $(VENV)/.tested
	@exec $(BIN)/python -m benchmarks

fuzz: $(VENV)/.tested
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[fuzz]'
	@exec $(BIN)/python -m tests.fuzz $(SECONDS) $(TARGETS)

lint: $(VENV)/.tested
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; $$($(PYTHON) --version 2>&1) was found. Name another with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "This Python cannot make a virtual environment. On Debian and Ubuntu install it with: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
