"""Names that the rules share. The configuration is checked here, before anything runs."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import yaml

from sfsc import config as profiles
from sfsc import resources as asked
from sfsc.fetch.plan import needed, needed_by, plan
from sfsc.files import InputError, replacing

try:
    profiles.check(config, "config")
except InputError as error:
    raise WorkflowError(str(error)) from None



def code(name):
    """A file of the suite as an input, seen from where the workflow runs."""
    path = os.path.relpath(f"{workflow.basedir}/{name}")
    if set(path) & set("{}"):
        raise WorkflowError(f"{path}: has braces in it, wildcards to Snakemake; run in the suite's own folder")
    return path


PYTHON = shlex.quote(sys.executable)
# Not by the script of that name: in a checkout below a space and a dollar sign it does not start.
SFSC = f"{PYTHON} -P -m sfsc"
FETCHED = profiles.fetch_root(config)
RESULTS = str(profiles.results(config))
MODELS = profiles.model_names(config)
TRAIN_SET_OF = profiles.train_set_of(config)
THREADS = config.get("threads", 1)
PROCESSES = config.get("processes", 1)
NODES = config.get("nodes", 1)
GPUS = int(config.get("gpu", False))
# A cluster's jobs have no common number of cores; its profile sets those of `pack`.
ALL_CORES = workflow.resource_settings.cores or 1

# What the commands read: the configuration as it is after --config and --configfile.
CONFIG = f"{RESULTS}/config.yaml"
text = yaml.safe_dump(config, sort_keys=False)
if not Path(CONFIG).exists() or Path(CONFIG).read_text() != text:
    with replacing(Path(CONFIG)) as beside:
        beside.write_text(text)


wildcard_constraints:
    train_set="|".join(config["train_sets"]),
    eval_set="|".join(config["eval_sets"]),
    method="|".join(config["methods"]),
    seed=r"\d+",


def canonical(section):
    """A part of the configuration as a parameter: reordered keys are no change."""
    return json.dumps(section, sort_keys=True)


def data_files(entry):
    """The files of a set's data whose change makes its jobs run again."""
    return [f"{profiles.expanded(entry['packed']).as_posix()}/manifest.json"] if "packed" in entry else source_files(entry)


def source_files(entry):
    """The same, of what is packed where a set is."""
    fetched = [f"{FETCHED}/.jobs/{item.name}" for item in needed_by(config, entry)]
    if profiles.is_generated(config, entry):
        return SYNTHETIC_FILES + fetched
    at_hand = [
        str(path)
        for path in profiles.data_paths(entry).values()
        if path.is_file() and not profiles.is_fetched(config, path)
    ]
    return at_hand + fetched
