# `make up` starts Chancery on this machine; `make check` is what every change must pass.
# PYTHON=/path/to/python3.12 chooses the Python that .venv is made with.

PYTHON ?= python3
BIN := .venv/bin
BOOTSTRAP := $(PYTHON) localstack/bootstrap.py

.DEFAULT_GOAL := help
.PHONY: help up down status logs inbox clean demo lint check test soak bench format runtime dev

help:
	@echo "make up | demo | status | logs | inbox | down | clean     the local stack"
	@echo "make lint | check | test | soak | bench | format         development"

runtime:
	@$(BOOTSTRAP) runtime

dev:
	@$(BOOTSTRAP) dev

up status inbox clean demo down: runtime
	@$(BIN)/chancery $@

logs: runtime
	@$(BIN)/chancery logs --follow

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	$(BIN)/python -m pytest tests/unit tests/property

# What waits for nothing (units, laws, the simulation) takes, politely, what the others leave of the processors while they
# wait. Faults come last and alone, and their coverage is not measured, because both would slow them.
BESIDE := tests/unit tests/property tests/conformance
test: dev
	@mkdir -p build; \
	{ trap 'kill $$child; exit 143' TERM; \
	  COVERAGE_FILE=build/coverage.beside nice -n 10 $(BIN)/python -m pytest --basetemp=build/beside --cov --cov-report= $(BESIDE) & \
	  child=$$!; wait $$child; units=$$?; \
	  nice -n 10 $(BIN)/python -m pytest --basetemp=build/simulation tests/simulation & \
	  child=$$!; wait $$child; simulated=$$?; \
	  exit $$((units || simulated)); } >build/beside.txt 2>&1 & \
	beside=$$!; trap 'kill $$beside 2>/dev/null' EXIT; trap 'exit 130' INT TERM; \
	$(BIN)/python -m pytest --cov --cov-report= tests/e2e tests/integration --ignore=tests/e2e/faults; served=$$?; \
	wait $$beside; besides=$$?; cat build/beside.txt; \
	$(BIN)/coverage combine --append build/coverage.beside && $(BIN)/coverage report --fail-under=85; covered=$$?; \
	$(BIN)/python -m pytest tests/e2e/faults; faults=$$?; \
	exit $$((served || besides || covered || faults))

# SCHEDULES=n runs fewer than the usual million, FAULT_RUNS=n all fault tests more than once; with
# CHANCERY_SOAK_FACTOR=n each of them does n times as much. What ran is noted in docs/reference/soak.md.
soak: dev
	$(BIN)/python -m tests.soak simulation $(if $(SCHEDULES),--count $(SCHEDULES))
	$(BIN)/python -m tests.soak faults $(if $(FAULT_RUNS),--count $(FAULT_RUNS))

# Token checks and revocation, on a quiet machine: about 7 minutes. What it prints belongs into docs/reference/benchmarks.md.
bench: dev
	$(BIN)/python -m bench.tokens --json
	$(BIN)/python -m bench.revocation --samples 3000 --json

format: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
