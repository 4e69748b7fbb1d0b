# One command a line; everything else follows from it. `make demo` and `make test` work in a fresh clone.
#
# PYTHON=...  the interpreter to make the environment with (3.11 or 3.12)    VENV=.venv  where it lives
# PEERS=1     run the peers in `make bench` too                             SEEDS=2000  how many in `make simulate`

VENV ?= .venv
SEEDS ?= 2000
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
BENCH_STAMP := $(VENV)/.ready-bench
PIP := $(BIN)/python -m pip --disable-pip-version-check
BENCHES := match automations latency timers live views deploy compile fairness steps schedules windows
LOCK = $(VENV)-lock/bin/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml

ifneq ($(wildcard ../shared/data),)
export MILLRACE_DATASETS ?= $(abspath ../shared/data)
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench simulate chaos lock clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(STAMP) ## make the environment in $(VENV)

# A Python is found by running it: the shims of version managers exist and fail.
$(STAMP): requirements/dev.txt pyproject.toml
	@set -e; \
	fits='import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))'; \
	for python in $${PYTHON:-python3.12 python3.11}; do \
	  if "$$python" -c "$$fits" 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "no Python 3.11 or 3.12 among: $${PYTHON:-python3.12 python3.11}; install one (Debian 12: apt-get install python3.11-venv) or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	if ! "$(BIN)/python" -c "$$fits" 2>/dev/null || [ -n "$${PYTHON:-}" ]; then \
	  echo "making $(VENV) with $$("$$found" --version)"; "$$found" -m venv --clear "$(VENV)"; \
	fi
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(BENCH_STAMP): $(STAMP) requirements/bench.txt
	$(PIP) install --quiet --require-hashes -r requirements/bench.txt
	@touch $@

demo: $(STAMP) ## run the main job on generated events, about a minute
	$(BIN)/millrace demo

test: $(STAMP) ## run all tests, folder by folder
	$(BIN)/python tests/folders.py

check: $(STAMP) ## check format, lint, types and import fences
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(STAMP) $(if $(PEERS),$(BENCH_STAMP)) ## measure; the lines are kept in benchmarks/results
	@set -e; for name in $(BENCHES); do $(BIN)/python benchmarks/bench_$$name.py $(if $(PEERS),--peers); done

simulate: $(STAMP) ## run the simulation on SEEDS fresh seeds
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

chaos: $(STAMP) ## kill real processes, 50 times a role
	CHAOS_KILLS=50 $(BIN)/python -m pytest tests/chaos --timeout 3600

lock: ## write requirements/*.txt anew from pyproject.toml
	@test -x $(VENV)-lock/bin/uv || { $${PYTHON:-python3.11} -m venv $(VENV)-lock && $(VENV)-lock/bin/python -m pip install --quiet uv; }
	$(LOCK) --output-file requirements/core.txt
	$(LOCK) --extra dev --constraint requirements/core.txt --output-file requirements/dev.txt
	$(LOCK) --extra dev --extra bench --constraint requirements/dev.txt --output-file requirements/bench.txt

clean: ## take away what the targets above made
	rm -rf $(VENV) $(VENV)-lock .millrace-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
