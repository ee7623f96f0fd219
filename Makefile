# One target for each thing that a developer does; `make` alone lists them.
PYTHON ?= python3
PORT ?= 4010
SECONDS ?= 600
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal
# In an environment of its own, because its dependencies conflict with those of the tests.
AUDIT_TOOLS = $(BIN)/python -m venv .venv/audit && .venv/audit/bin/pip -q --disable-pip-version-check install --require-hashes -r requirements/audit.txt
# In an environment of its own, because it is large: Dask, Spark and Ray.
CLUSTER = $(BIN)/python -m venv .venv/cluster && \
	.venv/cluster/bin/pip -q --disable-pip-version-check install --no-deps --require-hashes -r requirements/cluster.txt && \
	.venv/cluster/bin/pip -q --disable-pip-version-check install --no-deps --no-build-isolation --no-index --editable .
# Variables of the caller's shell must not change which code runs. PYTHONDONTWRITEBYTECODE would slow the tests down: each of their
# processes would compile everything again.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE NODE_ENV
# Only `verify-live` needs the user's account, and third-party tools run in many targets.
unexport KAYRROS_PASSWORD KAYRROS_TOKEN
export REDOCLY_TELEMETRY = off
export REDOCLY_SUPPRESS_UPDATE_NOTICE = true

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check format generate lint-spec spec-diff mutate-spec watch mock dist lock clean fuzz fuzz-parsers soak audit bench docs docs-serve test-docs verify verify-live test-oldest test-pythons test-foreign test-cluster

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## install everything into .venv and node_modules

# Runs each time, because the age of a file proves nothing: setup compares what is installed with the locks, in milliseconds.
$(READY): FORCE
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is required, but $(PYTHON) is %d.%d. Run make with PYTHON=/path/to/python3." % sys.version_info[:2])'
	@$(PYTHON) scripts/setup.py

FORCE:

demo: $(READY) ## show the client at work against the mock: login, metadata, results, a file
	@$(BIN)/python examples/demo.py

test: $(READY) ## run the tests that take three minutes together (ARGS="-k name" selects)
	@$(PYTEST) $(ARGS)

test-slow: $(READY) ## run the slow tests: copies of the checkout, make watch, mutations, a soak
	@$(PYTEST) -m slow $(ARGS)

check: $(READY) ## lint, type-check, spell-check, check import layers, the spec, the generated code and the version
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --cache-dir=/dev/null
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python -m scripts.prose
	@$(MAKE) --no-print-directory lint-spec
	@$(BIN)/python scripts/generate.py --check
	@$(BIN)/python -m scripts.versions
	@$(BIN)/python -m scripts.spec_diff --check

format: $(READY) ## format the code and apply the safe fixes of ruff
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

generate: $(READY) ## generate generated/ from openapi.yaml
	@$(BIN)/python scripts/generate.py

lint-spec: $(READY) ## lint openapi.yaml with redocly, openapi-spec-validator and our own rules
	@$(BIN)/python -m scripts.lint_spec

spec-diff: $(READY) ## list the changes of the spec since BASE=ref (default: the last release) and the version they require
	@$(BIN)/python -m scripts.spec_diff $(BASE)

# These test our own tools and the docstrings. Also, an old polars reads no rows from the stream of a small table (`to_polars` does).
NOT_OLDEST := $(foreach name,docstrings lint_spec prose public_names spec_diff versions,--ignore tests/unit/test_$(name).py) \
	--deselect tests/unit/test_tables.py::test_other_libraries_read_the_arrow_stream

test-oldest: $(READY) ## run the unit and fault tests with the oldest supported dependencies
	@$(BIN)/python -m venv .venv/oldest
	@.venv/oldest/bin/pip -q --disable-pip-version-check install --no-deps --require-hashes -r requirements/oldest.txt
	@.venv/oldest/bin/pip -q --disable-pip-version-check install --no-deps --no-build-isolation --no-index --editable .
	@.venv/oldest/bin/python -m pytest --numprocesses auto tests/unit tests/faults $(NOT_OLDEST) $(ARGS)

test-pythons: $(READY) ## run the unit and fault tests with each other Python of this machine that is 3.11 or newer
	@$(BIN)/python -m scripts.pythons $(ARGS)

test-foreign: $(READY) ## feed openapi.yaml to generators of other projects (Java only if present) and type-check their output
	@$(BIN)/python -m venv .venv/foreign
	@.venv/foreign/bin/pip -q --disable-pip-version-check install --no-deps --require-hashes -r requirements/foreign.txt
	@.venv/foreign/bin/python scripts/foreign.py

test-cluster: $(READY) ## run the tests with Dask, Spark (if there is Java) and Ray, on this machine
	@$(CLUSTER)
	@.venv/cluster/bin/python -m pytest -m cluster tests/cluster $(ARGS)

fuzz: $(READY) ## run Schemathesis against the mock and the platform fake; JUnit reports in reports/
	@$(BIN)/python -m scripts.schemathesis_run

fuzz-parsers: $(READY) ## run Atheris against the parsers of server bytes, SECONDS=600 each
	@$(BIN)/python -m pip -q --disable-pip-version-check install --no-deps --require-hashes -r requirements/fuzz.txt
	@for target in login results content_disposition; do $(BIN)/python -m fuzz $$target --seconds $(SECONDS) || exit 1; done

soak: $(READY) ## make 20,000 calls with random faults (ARGS="--seed 2") and check answers, files and secrets
	@$(BIN)/python -m tests.soak $(ARGS)

bench: $(READY) ## measure the claims about speed and memory (ARGS=reader for one case) into docs/benchmarks.md
	@$(BIN)/python -m pip -q --disable-pip-version-check install --no-deps --require-hashes -r requirements/bench.txt
	@$(if $(filter cluster,$(or $(ARGS),cluster)),$(CLUSTER))
	@$(BIN)/python -m bench $(ARGS)

docs: $(READY) .venv/.docs ## build the site into site/
	@$(BIN)/python -m scripts.docs

docs-serve: docs ## serve the site on loopback (PORT=4010), with a mock behind its REST reference, until Ctrl-C
	@$(BIN)/python -m scripts.docs --serve --port $(PORT)

test-docs: docs ## test the site in chromium and what the notebooks did, lint the examples
	@$(BIN)/python -m pytest -m site tests/site $(ARGS)

.venv/.docs: requirements/docs.txt | $(READY)
	@$(BIN)/python -m pip -q --disable-pip-version-check install --no-deps --require-hashes -r requirements/docs.txt
	@touch $@

verify: $(READY) ## let redocly drift check the HAR of a check-up of the fake
	@$(BIN)/python -m scripts.verify

# `value`, because make would expand a dollar sign in a password.
verify-live: export KAYRROS_PASSWORD := $(value KAYRROS_PASSWORD)
verify-live: export KAYRROS_TOKEN := $(value KAYRROS_TOKEN)
verify-live: $(READY) ## compare the live API with openapi.yaml, read-only, for those who set credentials; else skip
	@$(BIN)/python -m pytest -m live -p no:randomly tests/contract/test_live.py $(ARGS)

mutate-spec: $(READY) ## mutate the spec in many small ways and check that the contract tests catch each mutation
	@$(BIN)/python -m scripts.mutate_spec

watch: $(READY) ## on each save of openapi.yaml: lint it, list the changes, update client and mock (PORT=4010), run tests
	@$(BIN)/python -m scripts.watch --port $(PORT)

mock: $(READY) ## serve openapi.yaml on loopback (PORT=4010), until Ctrl-C
	@$(BIN)/kayrros mock --port $(PORT)

dist: $(READY) ## build the wheel, the sdist and the SBOM (CycloneDX) into dist/
	@rm -rf dist
	@$(BIN)/hatchling build -d dist
	@$(AUDIT_TOOLS)
	@.venv/audit/bin/python scripts/sbom.py

audit: $(READY) ## look for known vulnerabilities in our code and the locks (ARGS=--strict requires a database)
	@$(AUDIT_TOOLS)
	@.venv/audit/bin/python scripts/audit.py $(ARGS)

lock: $(READY) ## update the locks: requirements/ from pyproject.toml, package-lock.json from package.json
	@$(BIN)/python -m venv .venv/lock && .venv/lock/bin/pip -q install --require-hashes -r requirements/lock.txt
	@.venv/lock/bin/python scripts/lock.py

clean: ## remove everything that the targets created
	@rm -rf .venv .setup.lock node_modules dist site reports demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +
