# Everything a developer or a newcomer types. `make help` lists it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# The tests start hundreds of processes: each would compile pgpipe's modules again.
export PYTHONDONTWRITEBYTECODE =
# Tests wait more than they compute, so a machine of two cores takes four workers.
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN | awk '{ print ($$1 > 4 ? $$1 : 4) }')
# A worker takes neighbouring tests, so that what a file's tests share is mostly made once.
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install migrate demo test test-long test-citus lint types check eval bench-search bench-load bench-bad-values bench-embed bench-queue bench-triggers bench-vectors bench-growth bench-freshness bench-history bench-applications soak nights
.PHONY: collect system-packages docs golden screenshots freeze dist constraints clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 18

# pip would compile on one core, and the tests of each package too. A module that does not compile is nobody's trouble yet.
COMPILE = $(BIN)/python -W ignore -m compileall -qq -j 0 -x 'site-packages/($(UNUSED)|.*/tests/)' $(abspath $(VENV))/lib || true
# Of these large packages, and of those that only tests need, little is imported: that is compiled then.
$(VENV)/.demo: UNUSED = transformers/|sympy/|moto/|networkx/|pip/|setuptools/|scipy/|sklearn/

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile torch==2.13.0
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[demo]'
	@$(COMPILE)
	@touch $@

$(VENV)/.installed: $(VENV)/.demo
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(VENV)/.installed  ## a virtual environment with pgpipe and all that tests and checks need, pinned by constraints.txt

migrate: install  ## bring the database to this version
	$(BIN)/pgpipe migrate

demo: $(VENV)/.demo  ## from nothing to a hybrid search answer, on the docstrings of Python
	$(BIN)/pgpipe demo

test: install  ## all tests, on real PostgreSQL and a real S3 server; WORKERS=, one a core and at least four if left out
	$(PYTEST)

test-long: install  ## the tests that take longer: more seeds, larger data, more examples of a property
	PGPIPE_TESTS_THOROUGH=1 $(PYTEST) -m 'long or hypothesis'

test-citus: install  ## what a real cluster does; PGPIPE_CITUS=ADDRESS of a database of its coordinator
	$(PYTEST) -n 0 tests/citus

soak: install  ## embedders, loads, writers and every kind of trouble at once, then the invariants; MINUTES=15 SEED= (tests/chaos/soak)
	$(BIN)/python -W ignore -m tests.chaos.soak

nights: install  ## nights of three entities with every fault of the data, beside a model; NIGHTS=30 SEED= (tests/chaos/nights.py)
	$(BIN)/pytest -q -n 0 tests/chaos/test_nights_scenario.py

lint: install  ## style, the layers' directions, and what the SQL finds by a search_path
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.schema.lint

types: install  ## mypy, strict
	$(BIN)/mypy

check: install  ## what CI runs
	$(MAKE) --output-sync=target -j 2 lint types collect
	$(MAKE) test

# While mypy has the other core: pytest writes each file of tests with its asserts rewritten, which each worker would do.
collect: install
	@$(BIN)/pytest -q -n 0 --collect-only > /dev/null || true  # `make test` says what cannot be collected

golden: install  ## write what the templates of sql/templates/ become for one table (tests/sql/golden)
	GOLDEN=write $(BIN)/pytest -q -n 0 tests/sql/test_templates.py tests/sql/test_merge_templates.py -k golden

eval: install  ## how good the answers are, beside bm25s; COLLECTION=folder in SMART or BEIR form (tests/bench/evaluate.py)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -W ignore -m tests.bench.evaluate

bench-search: install  ## how fast searches are; ROWS=100000,1000000 DIMS=384 BENCH_DIR=, kept between runs (tests/bench/search.py)
	$(BIN)/python -W ignore -m tests.bench.search

bench-bad-values: install  ## what looking for bad values costs; RUNS=, SCALE=, LAKE= (tests/bench/bad_values.py)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -W ignore -m tests.bench.bad_values

bench-queue: install  ## the queue with a model that does nothing; PENDING=, LARGE=, ROWS=, JOBS=, RUNS=, BENCH_DIR= (tests/bench/queue.py)
	$(BIN)/python -W ignore -m tests.bench.queue

bench-triggers: install  ## what row-by-row writers pay; STATEMENTS=, RUNS=, ROWS=, BENCH_DIR= (tests/bench/triggers.py)
	$(BIN)/python -W ignore -m tests.bench.triggers

bench-vectors: install  ## bytes, build and searches of the vector index in each precision; ROWS=, REAL=, LAKE=, RUNS=, BENCH_DIR= (tests/bench/vectors.py)
	$(BIN)/python -W ignore -m tests.bench.vectors

bench-growth: install  ## what each kind of work costs as a table grows; ROWS=100000,1000000 DIMS=, BENCH_DIR= (tests/bench/growth.py)
	$(BIN)/python -W ignore -m tests.bench.growth

bench-freshness: install  ## how soon a change is found by meaning, and what NOTIFY would cost; SECONDS=, RUNS=, WRITERS=, RATE= (tests/bench/freshness.py)
	$(BIN)/python -W ignore -m tests.bench.freshness

bench-history: install  ## what a history adds to a merge; COPIES=, RUNS=, BENCH_DIR= (tests/bench/history.py)
	$(BIN)/python -W ignore -m tests.bench.history

bench-applications: install  ## what a searcher adds to the SQL function, and a cold command; COPIES=, RUNS=, SECONDS=, BENCH_DIR= (tests/bench/applications.py)
	$(BIN)/python -W ignore -m tests.bench.applications

bench-load: install  ## pgpipe against other loaders; RUNS=, SCALE=, LAKE=, PEERS=, WORK= (tests/bench/load.py)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -W ignore -m tests.bench.load

bench-embed: install  ## the embedder against bare model.encode, per backend; ROWS=, RUNS=, BACKENDS=, MODEL=, DEVICE=, BATCH= (tests/bench/embed.py)
	$(BIN)/python -W ignore -m tests.bench.embed

system-packages:  ## Debian packages that some tests use; without them those tests are skipped
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer postgresql-15 util-linux chromium fish zsh systemd

docs: install  ## write docs/cli.md and docs/sql.md anew
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/json_page.py

freeze: install  ## at a release: note the checksums of the schema, and keep a dump that upgrades are tested from
	$(BIN)/python -m tests.schema.frozen

screenshots: install  ## photograph the page of `pgpipe serve`
	$(BIN)/python docs/screenshots.py

dist: install  ## wheel and sdist
	$(BIN)/python -m build --outdir dist .

constraints: install  ## pin what is installed now
	@{ echo '# What is installed, to the version: a fresh environment next month is the same. Made by `make constraints`.'; \
	   $(BIN)/pip freeze --exclude-editable | sed 's/+cpu//'; } > constraints.txt

clean:  ## remove what was made here, the demo's database included
	rm -rf $(VENV) .demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
