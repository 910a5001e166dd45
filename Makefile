# The targets are the same for people and for CI. `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.set-up
PYTEST_JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup servers run keycloak test test-oracle check bench docs model format lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv with everything in it (no root needed; quick when nothing changed)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Voltweave needs Python 3.11 or newer; choose one with: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv is missing. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned dependencies; a minute or more the first time."
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)
	@echo "Set up. Next: make run"

servers: ## install the servers that the tests need (as root; otherwise say what is lacking)
	@tests/servers.sh

run: setup ## start Voltweave with its adapters and a simulated town on http://127.0.0.1:9090
	$(BIN)/voltweave up

keycloak: setup ## start a local Keycloak with our realm and a user for each role on http://127.0.0.1:8080/auth
	@tests/servers.sh keycloak
	$(BIN)/python -m benchmarks.keycloak

check: setup ## ruff, strict types, import arrows, names and texts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/unit/repository --quiet

test: servers check ## check, then all the tests
	$(BIN)/python -m pytest --numprocesses $(PYTEST_JOBS) --dist loadfile

test-oracle: setup ## hold compiled shapes against pySHACL for 2,000 entities of each class; drop each shape
	VOLTWEAVE_ORACLE_ENTITIES=2000 $(BIN)/python -m pytest --numprocesses $(PYTEST_JOBS) --override-ini faulthandler_timeout=3600 \
		tests/unit/shapes/test_compiled_shapes.py tests/unit/shapes/test_mutations.py

bench: setup ## run the benchmarks and print one table
	$(BIN)/python -m benchmarks

docs: setup ## write the generated pages and build the site into site/
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

model: setup ## generate contexts, shapes, example skeletons and reference pages from the ontology
	$(BIN)/python -m ontology.generate
	$(BIN)/python -m shapes.generate

format: setup ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## resolve requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --upgrade --all-extras --group dev --no-emit-index-url \
		--no-emit-find-links --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
