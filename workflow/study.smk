"""Run the units of a study that nobody has run yet, then decide its hypotheses.

snakemake --snakefile workflow/study.smk --cores 8
snakemake --snakefile workflow/study.smk --cores 8 --config study=config/study-landmarks.yaml
"""

import shlex
import sys
from pathlib import Path

from sfsc.files import InputError
from sfsc.study.plan import Unit, read_study

STUDY = config.get("study", "config/study.yaml")
SFSC = f"{shlex.quote(sys.executable)} -P -m sfsc study"
try:
    study = read_study(Path(STUDY))
except InputError as error:
    raise WorkflowError(str(error)) from None
MISSING = []
for name in study.sets:
    try:
        MISSING += study.missing(name)
    except InputError as error:  # other sets go on without it
        if workflow.is_main_process:
            print(f"{name} is left out: {error}", file=sys.stderr)
DRAWS = {unit: study.draw_of(unit) for unit in MISSING}


rule verdicts:
    default_target: True
    input:
        [study.units / unit.file for unit in MISSING],
    output:
        touch(f"{study.units.parent}/.decided"),
    shell:
        "{SFSC} verdicts --study {STUDY:q}"


rule draw:
    output:
        touch("data/study/.drawn/{set}-{seed}"),
    shell:
        "{SFSC} draw --study {STUDY:q} --set {wildcards.set:q} --seed {wildcards.seed}"


rule unit:
    input:
        lambda w: f"data/study/.drawn/{w.set}-{DRAWS[Unit(w.set, w.arm, int(w.seed))]}",
    output:
        f"{study.units}/{{set}}/{{arm}}/{{seed}}.json",
    shell:
        "{SFSC} run --study {STUDY:q} --set {wildcards.set:q} --arm {wildcards.arm:q}"
        " --seed {wildcards.seed}"
