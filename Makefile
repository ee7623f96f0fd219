# Every habit of the project is a target; `make` alone lists them.
PYTHON ?= python3
PORT ?= 4010
SECONDS ?= 600
BIN := .venv/bin
READY := .venv/.ready
# Theirs alone: what they need is not to meet what the tests need.
AUDIT_TOOLS = $(BIN)/python -m venv .venv/audit && .venv/audit/bin/pip -q --disable-pip-version-check install --require-hashes -r requirements/audit.txt
# A shell that is set up for something else must not reach in here.
# Without compiled files each worker of the tests rewrites every test again, and each process that they start compiles all of ours.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE NODE_ENV
export REDOCLY_TELEMETRY = off
export REDOCLY_SUPPRESS_UPDATE_NOTICE = true

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format generate lint-spec spec-diff mutate-spec watch mock dist lock clean fuzz fuzz-parsers soak audit bench docs docs-serve test-docs test-oldest

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## install all that the project needs, into .venv and node_modules

# Asked every time, since a file's age says little: setup looks whether what is there is what the locks say, and is quick.
$(READY): FORCE
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, and $(PYTHON) is %d.%d. Run make with PYTHON=/path/to/a/newer/python3." % sys.version_info[:2])'
	@$(PYTHON) scripts/setup.py

FORCE:

demo: $(READY) ## data from the mock in a minute: log in, metadata, results, a file
	@$(BIN)/python examples/demo.py

test: $(READY) ## run all tests (ARGS="-k name" for some)
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

check: $(READY) ## lint, types, spec, that generated/ is what the spec gives, and that the version follows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --cache-dir=/dev/null
	@$(MAKE) --no-print-directory lint-spec
	@$(BIN)/python scripts/generate.py --check
	@$(BIN)/python -m scripts.versions
	@$(BIN)/python -m scripts.spec_diff --check

format: $(READY) ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

generate: $(READY) ## make generated/ from openapi.yaml
	@$(BIN)/python scripts/generate.py

lint-spec: $(READY) ## lint openapi.yaml: redocly, openapi-spec-validator, our own rules
	@node=$$($(BIN)/python scripts/node_folder.py) && PATH="$$node:$$PATH" node_modules/.bin/redocly lint openapi.yaml
	@$(BIN)/openapi-spec-validator openapi.yaml
	@$(BIN)/python scripts/lint_spec.py

spec-diff: $(READY) ## what changed in the spec since BASE=ref (else the last release), and the version that follows
	@$(BIN)/python -m scripts.spec_diff $(BASE)

# The first is of our own tools; in the second an old polars finds no rows in the stream of a small table (`to_polars` does).
NOT_OLDEST := --ignore tests/unit/test_spec_diff.py --deselect tests/unit/test_tables.py::test_others_take_results_as_they_are

test-oldest: $(READY) ## run the unit and fault tests with the oldest versions of what the package depends on
	@$(BIN)/python -m venv .venv/oldest
	@.venv/oldest/bin/pip -q --disable-pip-version-check install --no-deps --require-hashes -r requirements/oldest.txt
	@.venv/oldest/bin/pip -q --disable-pip-version-check install --no-deps --no-build-isolation --no-index --editable .
	@.venv/oldest/bin/python -m pytest --numprocesses auto tests/unit tests/faults $(NOT_OLDEST) $(ARGS)

fuzz: $(READY) ## Schemathesis against the mock and the platform fake; reports as JUnit in reports/
	@$(BIN)/python -m scripts.schemathesis_run

fuzz-parsers: $(READY) ## Atheris against the parsers that meet hostile bytes, SECONDS=600 for each
	@$(BIN)/python -m pip -q --disable-pip-version-check install --no-deps --require-hashes -r requirements/fuzz.txt
	@for target in login results content_disposition; do $(BIN)/python -m fuzz $$target --seconds $(SECONDS) || exit 1; done

soak: $(READY) ## 20,000 calls with every fault at random (ARGS="--seed 2"): no wrong answer, no half file, no secret
	@$(BIN)/python -m tests.soak $(ARGS)

bench: $(READY) ## measure what is claimed of speed and memory (ARGS=reader for one case); docs/benchmarks.md
	@$(BIN)/python -m pip -q --disable-pip-version-check install --no-deps --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m bench $(ARGS)

docs: $(READY) .venv/.docs ## build the site into site/
	@$(BIN)/python -m scripts.docs

docs-serve: docs ## serve the site on loopback (PORT=4010), with a mock behind its REST reference, until Ctrl-C
	@$(BIN)/python -m scripts.docs --serve --port $(PORT)

test-docs: docs ## open the site in chromium, run the notebook, lint the examples
	@$(BIN)/python -m pytest -m site tests/site $(ARGS)

.venv/.docs: requirements/docs.txt | $(READY)
	@$(BIN)/python -m pip -q --disable-pip-version-check install --no-deps --require-hashes -r requirements/docs.txt
	@touch $@

mutate-spec: $(READY) ## damage the spec in many small ways, and see that the contract tests catch each
	@$(BIN)/python -m scripts.mutate_spec

watch: $(READY) ## follow openapi.yaml as it is edited: lint, client, mock (PORT=4010), tests, words
	@$(BIN)/python -m scripts.watch --port $(PORT)

mock: $(READY) ## serve openapi.yaml on loopback (PORT=4010), until Ctrl-C
	@$(BIN)/python -m kayrros_ext.testing --port $(PORT)

dist: $(READY) ## build the wheel, the sdist and the SBOM (CycloneDX) into dist/
	@rm -rf dist
	@$(BIN)/hatchling build -d dist
	@$(AUDIT_TOOLS)
	@.venv/audit/bin/python scripts/sbom.py

audit: $(READY) ## known vulnerabilities, of our code and of what is locked (ARGS=--strict to insist on a database)
	@$(AUDIT_TOOLS)
	@.venv/audit/bin/python scripts/audit.py $(ARGS)

lock: $(READY) ## renew the locks: requirements/ from pyproject.toml, package-lock.json from package.json
	@$(BIN)/python -m venv .venv/lock && .venv/lock/bin/pip -q install --require-hashes -r requirements/lock.txt
	@.venv/lock/bin/python scripts/lock.py

clean: ## remove all that the targets made
	@rm -rf .venv .setup.lock node_modules dist site reports demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +
