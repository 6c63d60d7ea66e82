# `make help` lists what there is. Needs Python 3.11 or later, make and git; no root.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# The first of these that runs, is new enough and can make a virtual environment.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && echo $$python && break; done)

PYTEST_ARGS ?=
# Processes that share the tests, each file of them whole to one; 0: this process runs them all.
JOBS ?= auto
PYTEST = $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile
DEMO_ARGS ?=
BENCH_ARGS ?=

# Floors 0 and 1: every branch of them is taken by a test.
FULLY_COVERED := txsmtpconn/wire/*,txsmtpconn/sasl/*,txsmtpconn/errors.py,txsmtpconn/envelope.py,txsmtpconn/outcome.py

.DEFAULT_GOAL := help

.PHONY: help
help:  ## Say what the targets do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(VENV)/.package  ## Run a relay on this machine, send it mail, show what arrived
	@$(BIN)/python -m demo $(DEMO_ARGS)

.PHONY: test
test: $(VENV)/.test  ## Run the tests (PYTEST_ARGS="-k reply" for some of them, JOBS=0 in one process)
	@$(PYTEST) $(PYTEST_ARGS)

.PHONY: check
check: lint typing coverage docs changelog matrix  ## Run everything that a change must pass

.PHONY: lint
lint: $(VENV)/.dev  ## Check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: typing
typing: $(VENV)/.dev  ## Check types, as we do and as our users do
	@$(BIN)/mypy -p txsmtpconn
	@$(BIN)/mypy twisted/plugins/txsmtpconn_plugins.py
	@$(BIN)/mypy tests/typing
	@$(BIN)/mypy --config-file tests/typing/user.ini tests/typing/api.py

.PHONY: coverage
coverage: $(VENV)/.dev  ## Run the tests, demand every branch of the core's lower floors
	@$(PYTEST) -q --cov --cov-report= $(PYTEST_ARGS)
	@$(BIN)/coverage report --include='$(FULLY_COVERED)' --fail-under=100
	@$(BIN)/coverage report --format=total | sed 's/.*/Branch coverage of the whole package: & %/'

.PHONY: docs
docs: $(VENV)/.dev  ## Build the documentation into docs/_build/html, run its examples
	@$(BIN)/python -m sphinx -q -n -W --keep-going -b html docs docs/_build/html
	@$(BIN)/python -m sphinx -q -n -W --keep-going -b doctest docs docs/_build/doctest

.PHONY: changelog
changelog: $(VENV)/.dev  ## Check the news fragments
	@out=$$($(BIN)/python -m towncrier build --draft --version next 2>&1) || { echo "$$out"; exit 1; }
	@base=$$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null); \
	if [ -n "$$base" ] && [ "$$base" != "$$(git rev-parse HEAD)" ]; then \
		$(BIN)/python -m towncrier check --compare-with "$$base"; \
	else \
		echo "The news fragments are well formed; nothing to compare this branch with."; \
	fi

.PHONY: matrix
matrix: $(VENV)/.dev  ## Run the tests on every Python found, with the lowest and the latest Twisted
	@$(BIN)/nox --session tests packaging --no-error-on-missing-interpreters -- $(PYTEST_ARGS)

.PHONY: bench
bench: $(VENV)/.bench  ## Measure us beside our peers
	@$(BIN)/python -m bench $(BENCH_ARGS)

.PHONY: clean
clean:  ## Remove what the other targets made, but for .venv
	@rm -rf build dist docs/_build htmlcov .coverage .nox .mypy_cache .pytest_cache .ruff_cache *.egg-info

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later with venv found; name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $(PYTHON) is not Python 3.11 or later with venv" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.package: setup.cfg | $(VENV)/bin/python
	@echo "Installing txsmtpconn into $(VENV) ..."
	@$(PIP) install --editable .
	@touch $@

# $(VENV)/.test, .dev, .bench: that extra is installed, as setup.cfg has it now.
$(VENV)/.%: setup.cfg | $(VENV)/bin/python
	@echo "Installing txsmtpconn[$*] into $(VENV) ..."
	@$(PIP) install --editable '.[$*]'
	@touch $@
