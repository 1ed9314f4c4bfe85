# Every target sets up what it needs: `make demo` and `make test` work on a fresh machine.
PYTHON ?= python3
VENV   ?= .venv
# Processes that share the tests, and the rows of the matrix, a thread each: one more than a small machine has cores, as
# some tests wait for processes that they kill.
JOBS   ?= 3
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: setup demo test test-fast kill-test matrix simulate check bench agree gpu-check docs docs-site format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       set up, run the smoke experiment (about 3 minutes), print its report"
	@echo "make test       set up, run every test that this machine can run"
	@echo "make test-fast  the tests that take seconds"
	@echo "make kill-test  kill runs twenty times, and demand the same numbers (under 10 minutes)"
	@echo "make matrix     every architecture with every method, trained, killed, resumed, exported and compared (half an hour)"
	@echo "make simulate   how often each interval and verdict of the reports is right, on data of known truth (an hour)"
	@echo "make check      ruff (format and lint) and mypy"
	@echo "make bench      side-by-side timings"
	@echo "make agree      scores against lm-eval, transformers and the metric libraries, item by item, on SmolLM2"
	@echo "make gpu-check  what only a CUDA device shows, in ten minutes, as one page to send back (docs/gpu.md)"
	@echo "make docs       docs/results anew from the records under version control; docs/reference and schemas from the types"
	@echo "make docs-site  the documentation as a site, in site/, every link checked"
	@echo "make format     let ruff rewrite the files"

# The stamp is newer than what it was made from, so a changed dependency sets up again. What builds packages is named
# and pinned, as all else is: ours (hatchling, editables) and rouge-score, which comes as source alone (setuptools). What
# is installed is compiled when it is imported: to compile every file there is would take most of a minute.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q --no-compile -c constraints.txt setuptools hatchling editables
	$(PIP) install -q --no-compile -c constraints.txt --no-build-isolation -e '.[test]'
	@touch $@

setup: $(VENV)/.ready

demo: setup
	$(BIN)/secura-bench run configs/smoke.yaml

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations 60 --durations-min 3

test-fast: setup
	$(BIN)/python -m pytest -m "not slow"

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python scripts/bench.py
	$(BIN)/python scripts/bench_padding.py
	$(BIN)/python scripts/bench_scoring.py
	$(BIN)/python scripts/bench_run.py

kill-test: setup
	OMP_NUM_THREADS=1 $(BIN)/python scripts/kill_test.py

matrix: setup
	OMP_NUM_THREADS=1 $(BIN)/python tests/matrix/run.py --jobs $(JOBS)

simulate: setup
	OMP_NUM_THREADS=1 $(BIN)/python tests/rates/run.py

agree: setup
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[lm-eval]'
	$(BIN)/python scripts/agree.py
	$(BIN)/python scripts/agree_answers.py

# What cannot be brought is left out there, with the reason.
gpu-check: setup
	-$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[quantised,liger]'
	$(BIN)/python scripts/gpu_check.py

docs: setup
	$(BIN)/python scripts/make_docs.py
	$(BIN)/python scripts/draw_rooms.py
	$(BIN)/python scripts/run_pages.py
	$(BIN)/python scripts/write_schemas.py
	$(BIN)/python scripts/write_reference.py

# Of what builds it, nothing is fetched but the packages themselves, once.
docs-site: setup
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache dist site
