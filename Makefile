# The face of the project: `make help` lists the verbs. Works with GNU make 3.81 (macOS) and newer.

PYTHON ?= python3
# FINTECH_VENV=<directory> uses a ready environment with requirements-dev.txt installed, and installs nothing.
VENV := $(if $(FINTECH_VENV),$(FINTECH_VENV),.venv)
PORT ?= 8000
export PORT

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: ## Run the whole product on http://localhost:8000 (PORT=... for another one); Ctrl-C stops it
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, and there is no $(PYTHON) on the PATH." >&2; exit 1; }; \
	exec $(PYTHON) devtools/bootstrap.py local devtools.run
