# Two commands matter to a newcomer: `make demo` and `make test`.
SHELL := /bin/bash
UV := $(or $(shell command -v uv 2>/dev/null),$(HOME)/.local/bin/uv)
PY := .venv/bin/python
COMPILE = $(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate \
          --no-emit-index-url --no-emit-find-links

OURS := foodcritic bot engine web migrations training/nano $(wildcard training/*.py)
# Of what is installed, the modules that are compiled when they are first imported, if ever.
SELDOM := /tests?/|/openai/types/|/(mypyc?|(aio)?botocore|redis|mpl_toolkits)/|/pygments/lexers/|/fontTools/(?!misc|ttLib)

# Containers often set it: then every process compiles all that it imports anew, half of its start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install dev gpu demo test train-env test-training soak lint format types migrations lock check-lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(UV):
	python3 -m pip install --quiet --user --break-system-packages uv 2>/dev/null || python3 -m pip install --quiet --user uv

.venv/bin/python: | $(UV)
	$(UV) venv --quiet --python '>=3.11,<3.13' .venv

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	$(UV) pip install --quiet --python $(PY) --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(PY) --no-deps -e . 
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.installed
	$(UV) pip install --quiet --python $(PY) --require-hashes -r requirements-dev.lock
	# Once, and not in each of the tests' processes that start together; not what hardly any imports.
	-@$(PY) -m compileall -qq -j 0 -x '$(SELDOM)' .venv/lib $(OURS)
	@touch $@

install: .venv/.installed ## what a user runs: .venv, no torch
dev: .venv/.dev ## install, and the tools that tests and checks need

gpu: install ## add LMDeploy for an NVIDIA GPU
	$(UV) pip install --quiet --python $(PY) --require-hashes -r requirements-gpu.lock

demo: install ## critique a sample in the terminal, then serve the web page (and the bot, with a token)
	$(PY) -m foodcritic demo

test: dev ## every test that needs no GPU and no training environment
	# Four at a time on any machine: half of the time a test waits for a clock or another process.
	$(PY) -m pytest -q -n 4 --dist worksteal tests --ignore tests/learning

XT := training/xtuner
$(XT)/.venv/.installed: $(XT)/requirements.lock | $(UV)
	$(UV) venv --quiet --allow-existing --python '>=3.11,<3.13' $(XT)/.venv
	DS_BUILD_OPS=0 $(UV) pip install --quiet --python $(XT)/.venv/bin/python --require-hashes -r $<
	@touch $@

train-env: $(XT)/.venv/.installed ## XTuner's own environment, in training/xtuner/.venv (6 GB)

test-training: dev train-env ## the learning loop, in training's own environment
	$(XT)/.venv/bin/python -m pytest -q -c $(XT)/pyproject.toml --rootdir . $(XT)/tests training/tests
	$(PY) -m pytest -q tests/learning

soak: dev ## the long kill and load tests; prints what came of them
	$(PY) -m pytest -s -q tests/soak --soak

lint: dev ## ruff
	.venv/bin/ruff check . && .venv/bin/ruff format --check .

format: dev ## ruff, writing
	.venv/bin/ruff check --fix -q . ; .venv/bin/ruff format .

types: dev ## mypy --strict
	.venv/bin/mypy

lock: | $(UV) ## renew the hash-pinned locks
	$(COMPILE) pyproject.toml --group dev -o requirements-dev.lock
	$(COMPILE) pyproject.toml -c requirements-dev.lock -o requirements.lock
	$(COMPILE) pyproject.toml --extra gpu -o requirements-gpu.lock
	cd $(XT) && $(COMPILE) pyproject.toml -o requirements.lock

check-lock: | $(UV) ## fail where a lock no longer answers pyproject.toml, or names an address
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf '$$tmp EXIT; cp requirements*.lock $$tmp; \
	$(COMPILE) pyproject.toml --group dev -o $$tmp/requirements-dev.lock; \
	$(COMPILE) pyproject.toml -c $$tmp/requirements-dev.lock -o $$tmp/requirements.lock; \
	$(COMPILE) pyproject.toml --extra gpu -o $$tmp/requirements-gpu.lock; \
	for f in requirements.lock requirements-dev.lock requirements-gpu.lock; do diff -q $$f $$tmp/$$f || { echo "$$f is stale: make lock"; exit 1; }; done; \
	! grep -nE 'https?://|file:' requirements*.lock training/xtuner/requirements.lock

clean: ## remove the environment and caches
	rm -rf .venv $(XT)/.venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
