# The face of the project: `make help` lists the verbs. Works with GNU make 3.81 (macOS) and newer.
#
# FINTECH_VENV=<directory> uses a ready environment with requirements-dev.txt in it, and installs nothing.

PYTHON ?= python3
PORT ?= 8000
export PORT

VENV := $(if $(FINTECH_VENV),$(FINTECH_VENV),.venv)
BIN := $(VENV)/bin
# Finds a Python, makes .venv and installs the locked packages where they are missing, or says in one line what is amiss.
BOOTSTRAP = command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, and there is no $(PYTHON) on the PATH." >&2; exit 1; }; $(PYTHON) devtools/bootstrap.py
# Settings that need neither a server nor a secret, for the tools that only import the code.
TOOLS := ENVIRONMENT=test DJANGO_SETTINGS_MODULE=fintech_core.settings DATABASE_URL=postgres://nobody@127.0.0.1:9/none
PYTEST := $(BIN)/python -m pytest
# One for each core of the smallest machine. xdist needs the same test names in every process (conftest.py sees to it).
TEST_PROCESSES ?= 2
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --python-version 3.11 --custom-compile-command 'make lock'

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# --- Run ---

.PHONY: run
run: ## Run the whole product on http://localhost:8000 (PORT=... for another port); Ctrl-C stops it
	@$(subst ; $(PYTHON),; exec $(PYTHON),$(BOOTSTRAP)) local devtools.run

.PHONY: demo
demo: ## Show the running product from outside: people, money, refusals, and the ledger verified
	@$(BOOTSTRAP) local
	@$(BIN)/python manage.py demo --url http://localhost:$(PORT)

.PHONY: verify
verify: ## Recompute the whole ledger of the running product and name the first bad row
	@$(BOOTSTRAP) local
	@$(BIN)/python manage.py verify_ledger

.PHONY: reset
reset: ## Delete the local database and everything else that `make run` made (stop it first)
	@$(BOOTSTRAP) local devtools.reset

# --- Prove ---

.PHONY: test
test: dev ## Run all tests but the slow drills
	@$(PYTEST) -m "not slow" -n $(TEST_PROCESSES) $(ARGS)

.PHONY: coverage
coverage: dev ## Run the same tests and say which lines they miss
	@$(PYTEST) -m "not slow" -n $(TEST_PROCESSES) --cov --cov-report=term $(ARGS)

.PHONY: test-slow
test-slow: dev ## Run the long drills: kills, whole stacks
	@$(PYTEST) -m slow $(ARGS)

.PHONY: bench
bench: dev ## Measure the ledger against hand-written SQL, as ratios (ARGS="--entries 0" skips the growth to millions)
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: lint
lint: dev ## Check format, rules, types, imports between rooms, migrations, the committed API schema, and the words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(TOOLS) $(BIN)/mypy .
	$(BIN)/lint-imports
	$(TOOLS) $(BIN)/python -W "ignore:Got an error checking a consistent:RuntimeWarning" manage.py makemigrations --check --dry-run
	$(TOOLS) $(BIN)/python -m devtools.schema check
	$(BIN)/python -m devtools.words

.PHONY: format
format: dev ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: schema
schema: dev ## Write openapi.yaml from the code
	$(TOOLS) $(BIN)/python -m devtools.schema write

.PHONY: test-cases
test-cases: dev ## Write into docs/test-cases.md where the tests of each case are
	@$(BIN)/python -m devtools.case_catalogue write

# --- Keep ---

.PHONY: lock
lock: dev ## Lock requirements*.in into requirements*.txt, with hashes
	$(COMPILE) requirements.in --output-file requirements.txt
	$(COMPILE) requirements-local.in --output-file requirements-local.txt
	$(COMPILE) requirements-dev.in --output-file requirements-dev.txt

.PHONY: clean
clean: ## Delete caches and reports; keeps .venv and the local data
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov
	find staticfiles -mindepth 1 -not -name .gitkeep -delete
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: dev
dev:
	@$(BOOTSTRAP) dev

