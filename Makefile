# make all    the environment, then the whole workflow on the default profile
# make test   the environment, then the tests
# make bench  speed and memory, measured on this machine, to results/benchmarks/
# make lint   ruff and mypy
# make test-slurm   the tiny profile through a SLURM of one node (root, Debian)
PYTHON ?= python3.11
VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: all test bench lint test-slurm
.DELETE_ON_ERROR:

all: $(READY)
	snakemake --cores all all

test: $(READY)
	pytest

test-slurm: $(READY)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[cluster]'
	tests/slurm/run.sh

bench: $(READY)
	python -m benchmarks.run

lint: $(READY)
	ruff check .
	ruff format --check .
	mypy

$(READY): constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
