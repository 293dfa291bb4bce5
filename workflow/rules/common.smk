"""Names that the rules share. The configuration is checked here, before anything runs."""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from sfsc import config as profiles
from sfsc import method as methods
from sfsc import resources as asked
from sfsc.fetch.plan import needed, needed_by, plan
from sfsc.files import InputError, replacing

try:
    # A job on another machine reads the Snakefile anew, when the profile may have changed: it takes
    # the configuration of the run that started it.
    if not workflow.is_main_process and "SFSC_CONFIG" in os.environ:
        started_with = profiles.read(Path(os.environ["SFSC_CONFIG"]))
        config.clear()
        config.update(started_with)
    # A key that repeats is lost in `config`. Later, somebody may be writing the file.
    for file in workflow.configfiles if workflow.is_main_process else ():
        profiles.load(Path(file))
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
METHODS = profiles.method_names(config)
ABLATION = profiles.ablation(config)
# The page shows an ablation for which nothing more is trained.
ABLATION_ON_PAGE = ABLATION if set(ABLATION) <= set(METHODS) else []
ALL_METHODS = list(dict.fromkeys([*METHODS, *ABLATION]))
MODELS = profiles.model_names(config)
TRAIN_SET_OF = profiles.train_set_of(config)
PROFILE = profiles.typed(config)
THREADS, PROCESSES, NODES = PROFILE.threads, PROFILE.processes, PROFILE.nodes
GPUS = int(PROFILE.gpu)
# A cluster's jobs have no common number of cores; its profile sets those of `pack`.
ALL_CORES = workflow.resource_settings.cores or 1

# What the commands read: the configuration as it is after --config and --configfile. Its name says
# what is in it, so that no other run changes it; only a run writes it, as it starts.
AS_GIVEN = yaml.safe_dump(config, sort_keys=False)
CONFIG = f"{RESULTS}/configurations/{hashlib.sha256(AS_GIVEN.encode()).hexdigest()[:12]}.yaml"
os.environ["SFSC_CONFIG"] = CONFIG


onstart:
    try:
        with replacing(Path(CONFIG)) as beside:
            beside.write_text(AS_GIVEN)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    # What takes seconds to find out is found before the first job, and not at each one's start.
    check = [sys.executable, "-P", "-m", "sfsc", "check", "--config", CONFIG]
    if subprocess.run(check, stdout=subprocess.DEVNULL).returncode:
        raise WorkflowError("the profile is not in order; see above")


wildcard_constraints:
    train_set="|".join(map(re.escape, config["train_sets"])),
    eval_set="|".join(map(re.escape, config["eval_sets"])),
    method="|".join(map(re.escape, ALL_METHODS)),
    seed=r"\d+",


def own_rules(method):
    """The file of rules that a method brings, or None where the rule `train` serves it."""
    path = Path(workflow.basedir, "baselines", f"{method}.smk")
    return path if path.exists() else None


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
