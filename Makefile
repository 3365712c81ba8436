# `make` alone prints what there is. Works from any folder: make -C /path/to/worklore run
#
# Variables, given on the command line (make run PORT=9000). HOST, PORT and DATABASE are not read from the environment,
# because other tools set such names for themselves; WORKLORE_HOST, WORKLORE_PORT and WORKLORE_DATABASE_URL are:
#   HOST      address the hub listens on                    [127.0.0.1]
#   PORT      port the hub listens on                       [8420]
#   DATABASE  database URL, as WORKLORE_DATABASE_URL        [SQLite, in ~/.local/share/worklore]
#   PYTHON    interpreter .venv is made with, 3.11 or newer [python3]
#   ARGS      more arguments for run, demo, bench or pytest
#   NAME      what `make migration` calls the new revision
#   TRANSCRIPTS  folder of transcripts (*.jsonl) for `make kill` [the shipped sample and made ones]
#   DATABASES what `make fuzz` runs on [sqlite mariadb postgresql]
#   MINUTES   how long, on each        [10]
#   WORKERS   processes pytest uses                         [2]

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# `make -f /elsewhere/Makefile` has another working folder than the project; `make -C` has not.
HERE := $(shell dirname -- "$(strip $(MAKEFILE_LIST))")
IN_PROJECT := cd "$(HERE)" &&
BIN := .venv/bin

PYTHON ?= python3
WORKERS ?= 2
export PYTHON NAME

given = $(if $(filter command line,$(origin $(1))),$($(1)))
SERVE_FLAGS := $(if $(call given,HOST),--host '$(HOST)') $(if $(call given,PORT),--port '$(PORT)')
ifneq ($(call given,DATABASE),)
# Through the environment, never as an argument: a URL may hold a password, and arguments can be read by everybody.
export WORKLORE_DATABASE_URL := $(DATABASE)
endif

# Where `make test` looks for the two server databases. What does not answer is left out and named in the last lines;
# WORKLORE_REQUIRE_DATABASES=sqlite,mariadb,postgresql makes a missing one a failure.
WORKLORE_TEST_POSTGRES_URL ?= postgresql://postgres@127.0.0.1:5432/postgres
WORKLORE_TEST_MARIADB_URL ?= mariadb://root@127.0.0.1:3306/
export WORKLORE_TEST_POSTGRES_URL WORKLORE_TEST_MARIADB_URL

.PHONY: help setup run demo test test-quick report kill outage race tamper million fuzz canaries matrix mutations rotate check format bench reference migration constraints clean setup-dev

help: ## Show this list
	@echo 'Worklore. The targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' "$(HERE)/Makefile" | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo 'The variables:'
	@sed -n '/^#   [A-Z]* /s/^#   /  /p' "$(HERE)/Makefile"

setup: ## Make .venv and install the hub into it; afterwards .venv/bin/worklore works
	@$(IN_PROJECT) scripts/setup hub

setup-dev:
	@$(IN_PROJECT) scripts/setup dev

run: setup ## Start the hub: prints its address, the setup code and the next step (HOST, PORT, DATABASE)
	@$(IN_PROJECT) exec $(BIN)/worklore serve $(SERVE_FLAGS) $(ARGS)

demo: setup ## Two pretended machines, one hub: what the second agent is told about the first one's work
	@$(IN_PROJECT) exec $(BIN)/worklore demo $(ARGS)

test: setup-dev ## Run all tests on every database found: SQLite, and MariaDB and PostgreSQL on loopback (ARGS)
	@$(IN_PROJECT) exec $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-quick: setup-dev ## Run the tests on SQLite only, without the slow ones
	@$(IN_PROJECT) WORKLORE_TEST_POSTGRES_URL= WORKLORE_TEST_MARIADB_URL= exec $(BIN)/python -m pytest -n $(WORKERS) -m 'not slow' $(ARGS)

report: setup-dev ## Run all tests and write the results per database as a page: build/report.html (ARGS)
	@$(IN_PROJECT) mkdir -p build; $(BIN)/python -m pytest -n $(WORKERS) --junitxml=build/tests.xml $(ARGS) || true; \
	exec $(BIN)/python scripts/report.py build/tests.xml build/report.html

kill: setup-dev ## Replay transcripts twice under 50 kill -9 of hooks, flusher and hub; fails on any loss (TRANSCRIPTS, ARGS)
	@$(IN_PROJECT) exec $(BIN)/python -m tests.faults $(ARGS) $(if $(TRANSCRIPTS),'$(abspath $(TRANSCRIPTS))')

outage: setup-dev ## 20 clients send a day's 500 writes each to a hub that is killed 20 times; 1,000 kill -9 of hooks, writers and flushers (ARGS)
	@$(IN_PROJECT) exec $(BIN)/python -m tests.faults.outage $(ARGS)

tamper: setup-dev ## Change 10,000 entries of the change audit and 3,000 of what it witnesses, each to be found; 12,000 by twelve writers without a false alarm
	@$(IN_PROJECT) WORKLORE_TAMPER_ROUNDS=50 WORKLORE_WITNESS_ROUNDS=65 WORKLORE_AUDIT_EACH=1000 exec $(BIN)/python -m pytest -q -n $(WORKERS) tests/audit $(ARGS)

million: setup-dev ## A million audit entries by four writers on each database: no false alarm, and how fast and in what memory they verify
	@$(IN_PROJECT) WORKLORE_AUDIT_ENTRIES=1000000 exec $(BIN)/python -m pytest -s -q -p no:xdist tests/audit/test_scale.py $(ARGS)

race: setup-dev ## Twelve writers for half a minute and 500 raced keys on each database; fails when an acknowledged change is lost
	@$(IN_PROJECT) WORKLORE_RACE_SECONDS=30 WORKLORE_RACE_KEYS=500 exec $(BIN)/python -m pytest -s -q tests/kernel/test_concurrency.py tests/kernel/test_cascade.py $(ARGS)

fuzz: setup-dev ## Ask the API all that its own description allows and forbids, on DATABASES, for MINUTES; fails on any broken promise
	@$(IN_PROJECT) exec $(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) $(or $(DATABASES),sqlite mariadb postgresql) $(ARGS)

canaries: setup-dev ## Plant 1,000 secrets in each database by every way in, and look for them everywhere; fails on any that is found
	@$(IN_PROJECT) WORKLORE_CANARIES=1000 exec $(BIN)/python -m pytest -s -q tests/surfaces/test_planted_secrets.py $(ARGS)

matrix: setup-dev ## Every operation by every role, on one's own and on another's client, on each database
	@$(IN_PROJECT) WORKLORE_MATRIX=whole exec $(BIN)/python -m pytest -q tests/conformance/test_matrix.py $(ARGS)

mutations: setup-dev ## Change 100,000 sealed values in every way there is; fails when one opens (ARGS)
	@$(IN_PROJECT) WORKLORE_MUTATIONS=100000 exec $(BIN)/python -m pytest -s -q -p no:xdist tests/vault/test_mutations.py $(ARGS)

rotate: setup-dev ## Change the vault's key under eight callers of 10,000 credentials, with a kill in the middle, on each database (ARGS)
	@$(IN_PROJECT) WORKLORE_ROTATE_CREDENTIALS=10000 WORKLORE_ROTATE_CLIENTS=500 WORKLORE_ROTATE_PAUSE=0 exec $(BIN)/python -m pytest -s -q -p no:xdist tests/vault/test_rotation_load.py $(ARGS)

check: setup-dev ## Lint, formatting, layers of imports, both type checkers, and whether docs/reference is true to the code
	@$(IN_PROJECT) set -x; \
	$(BIN)/ruff check .; \
	$(BIN)/ruff format --check .; \
	$(BIN)/lint-imports; \
	$(BIN)/mypy; \
	$(BIN)/basedpyright
	@$(IN_PROJECT) $(BIN)/python scripts/plugin.py --check
	@$(IN_PROJECT) exec $(BIN)/python scripts/reference.py --check

format: setup-dev ## Let ruff format the code and mend what it can
	@$(IN_PROJECT) $(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup-dev ## Measure hook cost and REST speed; writes JSON and a table
	@$(IN_PROJECT) exec $(BIN)/python -m benchmarks $(ARGS)

reference: setup-dev ## Write docs/reference, the command line's catalogue and the agents' plugin from the code
	@$(IN_PROJECT) $(BIN)/python scripts/plugin.py
	@$(IN_PROJECT) exec $(BIN)/python scripts/reference.py

migration: setup-dev ## Write a new migration from what the tables lack: make migration NAME='add site'
	@test -n "$$NAME" || { echo "make migration: give it a name, such as NAME='add site'"; exit 2; }
	@$(IN_PROJECT) exec $(BIN)/python scripts/revision.py "$$NAME"

constraints: ## Write constraints.txt anew: the newest versions that pyproject.toml allows
	@$(IN_PROJECT) scripts/lock

clean: ## Remove what the other targets made (.venv, caches, dist); your data stays
	@$(IN_PROJECT) rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .schemathesis
	@$(IN_PROJECT) find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
