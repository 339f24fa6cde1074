# make setup   the tools, in .venv (only Python 3.11, git, make and g++ are assumed)
# make demo    the whole pipeline on scikit-learn's digits: no download, a few minutes
# make repro   the whole pipeline on CIFAR-10 (what is up to date is skipped)
# make readme  the tables of results in README.md, from the metrics
# make test    the tests            make lint    style, types and C++ format

SHELL := /bin/bash
VENV := $(CURDIR)/.venv
INSTALLED := $(VENV)/.installed
PYTHON := $(VENV)/bin/python
# DVC starts the stages as `python -m stages.…`; their lines shall appear while they run.
export PATH := $(VENV)/bin:$(PATH)
export PYTHONUNBUFFERED := 1

.PHONY: setup demo repro readme test lint deps-check
setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || for python in python3.11 python3; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  $$python -m venv --clear $(VENV) && break; \
	done
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { echo "No .venv could be made: neither python3.11\
	 nor python3 is Python 3.11 or newer with the venv module; install one and run make again." >&2; \
	 exit 1; }
	@echo "Installing what constraints.txt pins into .venv (once; minutes, because of torch) ..."
	@$(PYTHON) -m pip install --quiet --editable .[dev] --constraint constraints.txt
	@touch $@

demo: setup demo/dvc.yaml
	$(PYTHON) -m dvc repro demo/dvc.yaml
	@cat demo/data/report.md

demo/dvc.yaml: dvc.yaml
	cp $< $@

repro: setup
	$(PYTHON) -m dvc repro
	@cat data/report.md

readme: setup
	$(PYTHON) -m stages.readme_tables

# One torch thread per worker: two workers that each start a thread per core slow each other down.
test: setup
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

# Lists, per stage, the code missing from its deps in dvc.yaml and the code that is superfluous.
deps-check: setup
	$(PYTHON) -m pytest --quiet --no-header --tb=line tests/test_architecture.py -k deps

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	git ls-files '*.cpp' '*.hpp' '*.h' | xargs --no-run-if-empty $(VENV)/bin/clang-format --dry-run --Werror
