# make all    the environment, then the whole workflow on the default profile
# make test   the environment, then the tests
# make bench  speed and memory, measured on this machine, to results/benchmarks/
# make lint   ruff and mypy
# make test-slurm   the tiny profile through a SLURM of one node (root, Debian)
PYTHON ?= python3.11
VENV := .venv
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
# Python keeps the byte code of what it imports, if it may; pip would first take a minute for all.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(VENV)/bin/python -m pip install --quiet --no-compile --constraint constraints.txt
# Snakemake asks for a home and a name of the user; neither needs to be there.
export HOME ?= /nonexistent
export LOGNAME ?= $(shell id -u)
# Tools run as `python -m`: below a space and a dollar sign, the scripts that pip writes do not start.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: all test bench lint test-slurm
.DELETE_ON_ERROR:

all: $(READY)
	python -m snakemake --cores all all

test: $(READY_DEV)
	python -m pytest

test-slurm: $(READY_DEV)
	$(INSTALL) --editable '.[cluster]'
	tests/slurm/run.sh

bench: $(READY_DEV)
	python -m benchmarks.run

lint: $(READY_DEV)
	python -m ruff check .
	python -m ruff format --check .
	python -m mypy

$(READY): constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	touch $@

$(READY_DEV): $(READY)
	$(INSTALL) --editable '.[dev]'
	touch $@
