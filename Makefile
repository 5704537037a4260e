# The same commands by hand and in CI. Everything happens in .venv, made on first need.

# 3.12 first: it is what the functions run on, and there is a PostgreSQL for it on the index.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
# Tests in parallel: two workers a core, because many wait for a process, a server or a clock.
WORKERS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2))))
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal
ENV ?= demo
# Tests and commands start hundreds of processes; without its cache each compiles every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo quick test coverage faults fuzz lint types format render check validate readme bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## make .venv with the exact versions of requirements.lock

$(VENV)/.installed: requirements.lock setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.11 or later with its venv module; install it, or set PYTHON=" >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) ..." >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

demo: setup ## render, then deploy the whole pipeline on the embedded AWS
	@$(BIN)/tapgen render
	@$(BIN)/tapgen deploy --local --env $(ENV) --yes
	@printf '\nTry next:\n'
	@printf '  %s\n' \
		'$(BIN)/tapgen status --local --env $(ENV)    which template each stack runs' \
		'$(BIN)/tapgen deploy --local --env $(ENV)    again: nothing to do' \
		'$(BIN)/tapgen deploy --local --env two     a second environment beside it' \
		'$(BIN)/tapgen graph --exports              who needs what of whom' \
		'$(BIN)/tapgen local serve                  the whole system, up on this machine' \
		'$(BIN)/tapgen local run-workflow           one execution, followed live' \
		'$(BIN)/tapgen verify --local --env $(ENV)    whether it is what was asked for' \
		'$(BIN)/tapgen destroy --local --env $(ENV)   take it down; says what it keeps'

test: setup ## every test, in about three minutes on two cores
	@$(PYTEST)

coverage: setup ## every test, counting the lines and branches that none of them runs
	@$(PYTEST) --cov --cov-report=term:skip-covered

quick: setup ## the tests that start no server, in about a minute
	@$(PYTEST) -m 'not served'

lint: setup ## format and lint, changing nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/bandit -q -r lambda_src

types: setup ## mypy, strict
	@$(BIN)/mypy

format: setup ## format, and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

render: setup ## write templates_out/
	@$(BIN)/tapgen render

validate: setup ## judge the templates offline
	@$(BIN)/tapgen validate

check: lint types coverage validate ## what CI runs
	@$(BIN)/tapgen render --check

readme: setup ## fill the generated parts of README.md and docs/
	@$(BIN)/python tests/readme.py

faults: setup ## the deploy engine among random failures, kills and throttling; prints its figures
	@$(BIN)/python tests/faults/run.py

fuzz: setup ## schemathesis against the running API, 1,000 cases and more
	@FUZZ_EXAMPLES=110 FUZZ_CASES=1000 $(BIN)/pytest tests/gateway/test_laptop.py -k schemathesis

bench: setup ## speed, as ratios within one run
	@test -x .tapgen/bench/bin/sceptre || { $(PYTHON) -m venv .tapgen/bench && \
		.tapgen/bench/bin/python -m pip install -q --disable-pip-version-check sceptre==4.7.0 -e .; }
	@$(BIN)/python tests/bench/run.py
	@echo
	@$(BIN)/python tests/bench/makespan.py
	@echo
	@$(BIN)/python tests/bench/api.py

lock: setup ## pin the newest versions that fit setup.cfg
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --upgrade -q setup.cfg -o requirements.lock

clean: ## remove .venv and everything tapgen keeps
	rm -rf $(VENV) .tapgen build *.egg-info .mypy_cache .pytest_cache .ruff_cache .coverage
