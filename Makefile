# Two commands matter: `make demo` and `make test`. Both do all the set-up that they need.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
READY := .venv/.ready
UV := 0.13.9
FETCHED := 3.11

# A machine that has a Python with torch, as those with GPUs often have, needs no .venv.
GPU_PYTHON = $(if $(wildcard $(BIN)/python),$(BIN)/python,$(or $(PYTHON),python3))

.PHONY: help setup python demo test test-all lint unit docs bench lock head gpu bench-gpu clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name text; do \
	  printf '  make %-9s %s\n' "$$name" "$$text"; done

setup: $(READY) ## Make .venv with everything from requirements.lock

# The environment's Python is the first from 3.10 to 3.12 that runs, and PYTHON before all. Where there is
# none, uv fetches one into its own folder; a newer Python is enough to get uv.
FIND_PYTHON = python=""; for name in $(PYTHON) python3.11 python3.12 python3.10 python3 python; do \
	  if "$$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then \
	    python="$$name"; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "no Python 3.10, 3.11 or 3.12 found; uv fetches $(FETCHED)" >&2; \
	  uv="$$(command -v uv || true)"; \
	  if [ -z "$$uv" ] && python3 -m venv build/uv >&2 && build/uv/bin/python -m pip install --quiet \
	    --disable-pip-version-check uv==$(UV) >&2; then uv=build/uv/bin/uv; fi; \
	  if [ -n "$$uv" ] && "$$uv" python install $(FETCHED) >&2; then \
	    python="$$("$$uv" python find --managed-python $(FETCHED))"; fi; fi; \
	if [ -z "$$python" ]; then \
	  echo "error: Python $(FETCHED) could not be fetched; install it, for example with" \
	    "'uv python install $(FETCHED)', or name one: make PYTHON=/path/to/python$(FETCHED)" >&2; exit 2; fi

python: ## Name the Python that the environment is made with
	@$(FIND_PYTHON); echo "$$python"

# uv installs in seconds what pip installs in minutes; where uv cannot be had or cannot reach the registry, pip
# does it.
$(READY): requirements.lock pyproject.toml
	@$(FIND_PYTHON); \
	echo "setting up .venv with $$("$$python" --version) (7.7 GB, of which CUDA 3.6 GB)"; \
	"$$python" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV) \
	  && $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import cv2' || { echo "error: OpenCV cannot find a system library;" \
	  "on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0" >&2; exit 1; }
	@touch $(READY)

demo: $(READY) ## Raw photos to a trained step, on two public-domain portraits (a few minutes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pipelines.demo demo

test: $(READY) lint unit ## Everything that CI checks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

test-all: $(READY) lint ## `make test` and the whole of tests/faults; writes RELIABILITY.md (40 minutes)
	rm -rf .reliability && mkdir .reliability
	DECA_TEST_ALL=1 DECA_RELIABILITY=$(CURDIR)/.reliability OMP_NUM_THREADS=1 \
	  $(BIN)/python -m pytest -n auto --dist loadfile
	$(BIN)/python -m tests.faults.table .reliability

docs: $(READY) ## Build the documentation into build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

bench: $(READY) ## Measure and write the tables of BENCHMARKS.md: SETS=folder [PHOTOS=, LABELS=folders] [ONLY=names]
	$(BIN)/python -m benchmarks $(if $(SETS),--sets $(SETS)) \
	  $(if $(PHOTOS),--photos $(PHOTOS)) $(if $(LABELS),--labels $(LABELS)) \
	  $(if $(AGAINST),--against $(AGAINST)) $(if $(ONLY),--only $(ONLY))

gpu: ## The tests that need a CUDA device, and their table in BENCHMARKS.md; DRY=1: on the CPU
	$(GPU_PYTHON) -m benchmarks.gpu_checks $(if $(filter-out 0,$(DRY)),--dry) $(if $(ONLY),--only "$(ONLY)")

bench-gpu: ## Measure on a CUDA device: training, rasteriser, stages [ONLY=names]; DRY=1: on the CPU
	$(GPU_PYTHON) -m benchmarks.gpu_speed $(if $(filter-out 0,$(DRY)),--dry) $(if $(ONLY),--only $(ONLY))

head: $(READY) ## Build the open head again from the CC0 mesh and compare it with the checked-in file
	$(BIN)/python -m benchmarks.build_head --check
	$(BIN)/python -m deca_model.heads.building.dense --check

lock: $(READY) ## Resolve requirements.lock again
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.10 --all-extras --generate-hashes \
	  --no-emit-index-url --no-header --output-file requirements.lock

clean: ## Remove the environment and the demo
	rm -rf .venv demo
