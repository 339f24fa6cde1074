# make setup      install the Python packages in .venv (needs Python 3.11, git, make and g++)
# make demo       run the whole pipeline on scikit-learn's digits in build/demo: minutes, no download
# make bitstream  from the digits network to a bitstream for an ECP5-85F in build/demo
# make rtl-tools  install Yosys, nextpnr and z3 in .venv (50 MB)
# make check      evaluate the committed weights on all test images (NETWORK=lerp_psa_h96 or all)
# make repro      run the whole pipeline on CIFAR-10; stages that are up to date are skipped
# make quick      run the fast tests, without compiler, DVC process or training
# make test       run all tests
# make fuzz       give every reader of files 1,000 damaged ones (SEED=0)
# make prove      prove the contracts of the RTL units with Yosys and z3: minutes
# make lint       check style, types, the C++ format and the pragmas of HLS
# make current    check that fingerprints, lock files and generated tables match the code
# make readme     update the tables of results in README.md and docs/results.md
# make help       show this list

SHELL := /bin/bash
# Relative, because the path of the clone may have blanks and quotes.
INSTALLED := .venv/.installed
RTL_TOOLS := .venv/.rtl-tools
PYTHON := .venv/bin/python
NETWORK ?= lerp_psa_h96
SEED ?= 0
# DVC starts the stages as `python .../stages NAME`, with the python of .venv. Unbuffered output
# appears while a stage runs.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONUNBUFFERED := 1

.PHONY: help setup rtl-tools demo bitstream check repro readme current quick test fuzz lint prove
help:
	@sed -n 's/^# make/make/p' Makefile

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@case "$$PWD" in *:*) echo "The path of this clone has a colon, which divides the folders of PATH;\
	 move the clone to a path without one." >&2; exit 1;; esac
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || for python in python3.11 python3; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  $$python -m venv .venv && break; \
	done
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { echo "No .venv could be made: neither python3.11\
	 nor python3 is Python 3.11 or newer with the venv module; install one and run make again." >&2; \
	 exit 1; }
	@echo "Installing what constraints.txt pins into .venv (once; minutes, because of torch) ..."
	@$(PYTHON) -m pip install --quiet --editable .[dev] --constraint constraints.txt
	@$(PYTHON) stages plots_page
	@touch $@

rtl-tools: $(RTL_TOOLS)

$(RTL_TOOLS): $(INSTALLED)
	@echo "Installing Yosys, nextpnr and z3 into .venv ..."
	@$(PYTHON) -m pip install --quiet --editable .[rtl-tools] --constraint constraints.txt
	@touch $@

# The demo runs in a git-ignored folder with its own DVC repository, so the clone does not change.
# demo/ itself has a finished run, whose files `dvc pull` fetches.
demo: build/demo
	cd build/demo && ../../$(PYTHON) -m dvc repro
	@cd build/demo && ../../$(PYTHON) ../../stages show
	@sed -n 's/^#> \?//p' Makefile
#>
#> Try next, after `source .venv/bin/activate`:
#>   cd build/demo                  the folder of this run: change params.yaml, then `dvc repro`
#>   python ../../stages plan lerp_psa_h96_stream    folding, cycles and resources of a design
#>   cd demo && dvc pull            a finished run under git, for experiments, for example:
#>   python ../stages sweep lerp_psa_h96 grid_size=32,64 hidden_dim=24,48 folding=published,64000
#> docs/experiments.md and docs/extending.md say more.

# A design for the FPGA joins the others here, because its gates and routing take longer than the demo.
BITSTREAM := lerp_psa_h96_stream_ecp5
bitstream: rtl-tools build/demo
	@sed -i 's/^designs:/&\n  $(BITSTREAM): {variant: lerp_psa_h96, accelerator: streaming, target: {dsp: 48},\
	 multipliers: dsp}/' build/demo/params.yaml
	cd build/demo && ../../$(PYTHON) -m dvc repro dump_params@lerp_psa_h96 plan@$(BITSTREAM)
	cd build/demo && ../../$(PYTHON) ../../stages rtl $(BITSTREAM)
	cd build/demo && ../../$(PYTHON) ../../stages gates $(BITSTREAM)
	cd build/demo && ../../$(PYTHON) ../../stages route $(BITSTREAM)
	@cat build/demo/data/designs/$(BITSTREAM)/gates/units.md
	@cat build/demo/data/metrics/route/$(BITSTREAM)/metrics.json
	@ls -l build/demo/data/designs/$(BITSTREAM)/route/resmlp_top.bit

.PHONY: build/demo
build/demo: setup demo/dvc.yaml
	@mkdir -p build/demo/.dvc
	@printf '[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n' \
	  > build/demo/.dvc/config
	@printf '[plots]\n    html_template = ../../../.dvc/plots_page.html\n' >> build/demo/.dvc/config
	@cp -r .dvc/plots build/demo/.dvc/
	@cp demo/dvc.yaml .dvcignore build/demo/
	@sed 's|^code_root: \.\.|code_root: ../..|' demo/params.yaml > build/demo/params.yaml

demo/dvc.yaml: dvc.yaml
	cp $< $@

check: setup
	$(PYTHON) -m dvc pull --quiet
	$(PYTHON) -m dvc repro --quiet prepare_data
	$(PYTHON) stages check $(NETWORK)

repro: setup
	$(PYTHON) -m dvc repro
	@cat data/report.md

readme: setup
	$(PYTHON) stages readme_tables

# Needs neither weights nor images: everything that DVC compares is in git.
current: setup demo/dvc.yaml
	$(PYTHON) stages code
	cd demo && ../$(PYTHON) ../stages code
	$(PYTHON) stages readme_tables
	git diff --exit-code -- data/code demo README.md docs
	@mkdir -p build
	$(PYTHON) -m dvc repro --dry --allow-missing --all-pipelines | tee build/current.log
	grep -q "up to date" build/current.log

# One torch thread per worker: workers that each start one thread per core slow each other down.
# Bytecode is kept, because a worker or stage that compiles all sources anew needs seconds for it.
TEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

quick: setup
	$(TEST) -m "not compiler and not pipeline and not training and not slow"

test: setup
	$(TEST) --durations=15

fuzz: setup
	$(PYTHON) -m tests.fuzz --inputs 1000 --seed $(SEED) --seconds 60

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m hls.pragmas
	git ls-files -z '*.cpp' '*.hpp' '*.h' | xargs -0 --no-run-if-empty $(PYTHON) -c \
	  'from clang_format import clang_format; clang_format()' --dry-run --Werror

prove: setup
	$(PYTHON) -m hls.prove
