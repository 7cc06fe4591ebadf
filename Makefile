# Every target sets up what it needs; nothing is installed twice. `make help` lists them.
VENV := .venv
BIN := $(VENV)/bin
# What .venv was made of, copied into it once it was whole.
MADE_OF := $(VENV)/requirements.lock
LOCKS := requirements.lock requirements-cuda.lock
# Never the one of .venv itself, which an activated shell would find first.
OUTSIDE := $(shell printf %s "$$PATH" | tr : '\n' | grep -vxF "$(CURDIR)/$(BIN)" | paste -sd: -)
# The first that fits is taken. The published study is of the first of them; PYTHON= names another.
PYTHONS := python3.11 python3.12 python3.13 python3
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
export PATH := $(CURDIR)/$(BIN):$(PATH)
# What a person's shell tells other Pythons and other pips must not reach this environment.
export PIP_USER := 0
unexport PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_ROOT
# Without kept bytecode every start compiles a thousand modules again.
unexport PYTHONDONTWRITEBYTECODE
# Of the command line alone: a PORT that the shell exports is meant for something else.
UI_PORT := $(if $(filter command line,$(origin PORT)),--port "$(PORT)")
# Numbers and reference pages in README and docs/ are generated from what was measured.
COG := cog -n utf-8 -U -P -I . -p 'from docs.markdown import show' --verbosity=1
# Two workers of one thread each: teams of threads on the same cores wait for each other.
PYTEST := OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo repro ablation generation params test test-integration test-stress bench lint format docs ui lock upgrade

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Why .venv has to be made (anew), if it has. Its locks count by content: a clone's files have new times. Scripts in
# it name the folder it was made in: one that was moved or copied along is foreign, like one whose Python is gone.
# A link to another folder's .venv is meant.
WHICH := -c 'import sys; print(sys.base_prefix, sys.version)'
WHY := $(shell \
	if test -L $(VENV); then :; \
	elif ! test -e $(VENV); then echo 'there is none yet'; \
	elif ! test -e $(MADE_OF); then echo 'the one there was not made by make, or not to its end'; \
	elif ! { test -x $(BIN)/python && grep -qsF "$(CURDIR)/$(BIN)/" $(BIN)/pip; }; then \
		echo 'the one there is of another folder or Python (was this one moved or copied?)'; \
	elif ! cat $(LOCKS) | cmp -s - $(MADE_OF); then echo 'the one there is of other locks'; \
	elif test '$(origin PYTHON)' = 'command line' && \
		test "$$("$(PYTHON)" $(WHICH))" != "$$($(BIN)/python $(WHICH))"; then \
		echo 'the one there is of another Python'; \
	fi)
READY := $(if $(WHY),$(MADE_OF))

.PHONY: $(MADE_OF)
# Python compiles what is imported when it is; to compile all that is installed would take minutes.
$(MADE_OF):
	@PATH="$(OUTSIDE)"; tried=; set -- $(if $(PYTHON),"$(PYTHON)",$(PYTHONS)); \
	for python; do \
		"$$python" -c '$(FITS)' 2> /dev/null && break; \
		tried="$${tried:+$$tried, }$$python ($$("$$python" --version 2> /dev/null || echo none))"; python=; \
	done; \
	if test -z "$$python"; then \
		echo "error: Python 3.11, 3.12 or 3.13 is needed; tried $$tried. Install one, or set PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version) ($$python): $(WHY)"; \
	"$$python" -m venv --clear $(VENV)
	@echo 'Installing the pinned dependencies (minutes, once) ...'
	@$(BIN)/python -m pip install -q -q --no-compile -r requirements.lock
	@cat $(LOCKS) > $(MADE_OF)

setup: $(READY)  ## create .venv with the pinned dependencies

demo: $(READY)  ## the whole pipeline on real CIFAR-10 with small parameters, in minutes
	@python -m pipeline demo

repro: $(READY)  ## the study that params.yaml describes
	@python -m pipeline params
	@python -m pipeline repro

ablation: $(READY)  ## the variants at one latent size; its report goes to reports/ablation/
	@python -m pipeline ablation

generation: $(READY)  ## flows of several rates, for a GPU; their report goes to reports/generation/
	@python -m pipeline generation

params: $(READY)  ## check params.yaml and list its runs
	@python -m pipeline params

test: $(READY)  ## the fast tests: no network, no data
	@$(PYTEST) -m 'not slow'

test-integration: $(READY)  ## the tests that run the whole pipeline
	@$(PYTEST) -m 'slow and not long'

test-stress: $(READY)  ## kill the pipeline 100 times, feed it 1,600 bad inputs, and the longest tests (two hours)
	@FUZZ_CASES=400 python -m pytest -m fuzz
	@python -m pytest -m long --timeout 3600
	@PYTHONPATH="$$PWD:$$PWD/tests" python tests/stress/kill_pipeline.py --kills 100

bench: $(READY)  ## speed, start-up and memory here, as ratios to the textbook loop (an hour, and quiet)
	@test -e data/cifar10 || dvc repro --quiet fetch
	@python -m benchmarks.run

lint: $(READY)  ## ruff, mypy, import-linter, stale numbers in docs, bandit, pip-audit
	@ruff check . && ruff format --check . && mypy
	@lint-imports --no-logo > .imports.log 2>&1 || { cat .imports.log; exit 1; }
	@$(COG) --check --diff README.md docs/*.md && echo 'docs: no number is stale'
	@bandit -q -ll -r pipeline && echo 'bandit: nothing of medium or high severity'
	@pip-audit $(LOCKS:%=-r %) --no-deps --disable-pip --progress-spinner off > .audit.log 2>&1 \
		|| { ! grep -q 'known vulnerabilit' .audit.log || { cat .audit.log; exit 1; }; }
	@echo "pip-audit: of $$(cat $(LOCKS) | grep -c ==) dependencies," \
		"$$(grep -c 'could not be audited' .audit.log) could not be looked up; no vulnerability is known in the others"

docs: $(READY)  ## write the generated parts of README.md and docs/ anew
	@$(COG) -r README.md docs/*.md

format: $(READY)  ## let ruff rewrite what it can
	@ruff check --fix . ; ruff format .

ui: $(READY)  ## MLflow on http://127.0.0.1:5000; `make ui PORT=5001` on another port
	@python -m pipeline ui $(UI_PORT)

# CUDA's libraries are constraints, and not asked for: a PyTorch without CUDA needs none of them.
CUDA := ^(cuda|nvidia|triton)
upgrade: $(READY)  ## `make lock`, with the newest versions that fit
lock: $(READY)  ## pin what pyproject.toml asks for, once for all Pythons and systems; what still fits stays
lock upgrade:
	@grep -hv '^-c' $(LOCKS) > $(VENV)/all.lock
	@uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
		$(if $(filter upgrade,$@),--upgrade) --quiet --no-annotate --no-header --no-emit-package pip \
		-o $(VENV)/all.lock > /dev/null
	@{ echo '# Exact versions of `make lock`, for every Python and system.'; echo '-c requirements-cuda.lock'; \
		grep -Ev '$(CUDA)' $(VENV)/all.lock; } > requirements.lock
	@{ echo '# What PyTorch with CUDA asks for.'; grep -E '$(CUDA)' $(VENV)/all.lock; } > requirements-cuda.lock
	@echo "$(LOCKS) are written; the next make installs them"
