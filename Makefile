# The door for habits. `make help` lists it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
STACKS_CACHE ?= .mypy_cache/stacks
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup engine quickstart test test-all test-unit molecule molecule-all lint types types-stacks perf docs clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(DEV) ## make the virtual environment with everything in it

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'benchctl needs Python 3.11 or newer: make PYTHON=python3.11 …' >&2; exit 1; }
	@echo 'Installing into $(VENV): about a minute.'
	$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $(RUN) $@

engine: ## build the Pulumi engine, where it is not installed: only providers lab, aws and azure need it
	@sh engine/build.sh

quickstart: $(RUN) ## measure a real PostgreSQL under two settings and show the report
	$(BIN)/benchctl run quickstart

test: $(DEV) lint ## all tests, the real parts too
	$(MAKE) --no-print-directory --jobs=2 types test-all

test-all: $(DEV)
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder --durations=40 tests

test-unit: $(DEV) ## the tests that need nothing but Python
	$(PYTEST) -n 2 -q tests/unit tests/contract tests/architecture -m 'not postgres and not ansible'

molecule: $(DEV) ## the scenarios of one role on container hosts: ROLE=redis, and SCENARIO=default for one of them
	@test -n '$(ROLE)' || { echo 'make molecule ROLE=redis [SCENARIO=default|alternative|roundtrip]' >&2; exit 2; }
	$(BIN)/python -m benchctl.testing.scenarios roles/$(ROLE) $(SCENARIO)

molecule-all: $(DEV) ## those of every role: hours
	@for role in roles/*/molecule; do $(BIN)/python -m benchctl.testing.scenarios "$${role%/molecule}" || failed="$$failed $$role"; done; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

lint: $(DEV) ## ruff, clean and formatted; ansible-lint runs among the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## mypy, strict on source and tests
	$(BIN)/mypy

types-stacks: $(DEV) ## mypy over the stacks of the clouds against their real SDKs: minutes, gigabytes
	$(BIN)/mypy --config-file stacks/mypy.ini --cache-dir $(STACKS_CACHE) stacks/aws/bench_aws stacks/azure/bench_azure

perf: $(DEV) ## the figures of docs/performance, each as a ratio with its peer in the same run
	$(BIN)/python -m tests.perf

docs: $(DEV) ## make the generated reference pages again
	$(BIN)/python -m docs.generate

clean: ## remove what the targets above made in this folder
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
