# make all    the environment, then the whole workflow on the default profile
# make test   the environment, then the tests
# make bench  speed and memory, measured on this machine, to results/benchmarks/; with QUICK=1
#             small sizes that measure nothing, in less than a minute
# make study   the units of the study that are missing, then its verdicts
# make lint   ruff and mypy
# make test-slurm   the tiny profile through a SLURM of one node (root, Debian)
VENV := .venv
# A Python that runs (a shim of pyenv's may not), is new enough and can make environments.
FITS := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
works = $(shell "$(1)" -c "$(FITS)" 2>/dev/null && echo "$(1)")
NAMES := python3.13 python3.12 python3.11 python3
# Looked for once, and only where an environment is to be made.
PYTHON ?= $(eval PYTHON := $(firstword $(foreach name,$(NAMES),$(call works,$(name)))))$(PYTHON)
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
# Python keeps the byte code of what it imports, if it may; pip would first take a minute for all.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(VENV)/bin/python -m pip install --quiet --no-compile --constraint constraints.txt
# Snakemake asks for a home and a name of the user; neither needs to be there.
export HOME ?= /nonexistent
ifndef LOGNAME
export LOGNAME := $(shell id -u 2>/dev/null)
endif
# Tools run as `python -m`: below a space and a dollar sign, the scripts that pip writes do not start.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: all test bench study lint test-slurm
.DELETE_ON_ERROR:

all: $(READY)
	python -m snakemake --cores all all

test: $(READY_DEV)
	python -m pytest

test-slurm: $(READY_DEV)
	$(INSTALL) --editable '.[cluster]'
	tests/slurm/run.sh

bench: $(READY_DEV)
	python -m benchmarks.run $(if $(QUICK),--quick)

study: $(READY)
	python -m snakemake --snakefile workflow/study.smk --cores all

lint: $(READY_DEV)
	python -m ruff check .
	python -m ruff format --check .
	python -m mypy

# An environment of another Python is made anew, not mixed with this one's.
$(READY): constraints.txt pyproject.toml
	@test -n "$(call works,$(PYTHON))" || { echo "make: $(or $(PYTHON),$(NAMES)): not found, or not\
	 Python 3.11 or newer with its modules venv and ensurepip (Debian: python3-venv); install one,\
	 or name one by PYTHON=/path/to/python3" >&2; exit 1; }
	"$(PYTHON)" -m venv $$(test "$$($(VENV)/bin/python -V 2>&1)" = "$$("$(PYTHON)" -V)" ||\
	 echo --clear) $(VENV)
	$(INSTALL) --editable .
	touch $@

$(READY_DEV): $(READY)
	$(INSTALL) --editable '.[dev]'
	touch $@
