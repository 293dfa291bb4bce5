"""Run the units of a study that nobody has run yet, then decide its hypotheses.

snakemake --snakefile workflow/study.smk --cores 8
snakemake --snakefile workflow/study.smk --cores 8 --config study=my-study.yaml
"""

import shlex
import sys
from pathlib import Path

from sfsc.files import InputError
from sfsc.study.plan import Unit, read_study

STUDY = config.get("study", "config/study/study.yaml")
SFSC = f"{shlex.quote(sys.executable)} -P -m sfsc study"
MISSING = []
try:
    study = read_study(Path(STUDY))
    for name in study.sets:
        try:
            MISSING += study.missing(name)
        except InputError as error:  # the other sets go on without it
            if workflow.is_main_process:
                print(f"{name} is left out: {error}", file=sys.stderr)
except InputError as error:
    raise WorkflowError(str(error)) from None
DRAWS = {unit: study.draw_of(unit) for unit in MISSING}


# Without an output: what is there is decided anew each time.
rule verdicts:
    default_target: True
    input:
        [study.units / unit.file for unit in MISSING],
    shell:
        "{SFSC} verdicts --study {STUDY:q}"


rule draw:
    output:
        touch("data/study/.drawn/{set}-{seed}"),
    log:
        "results/study/logs/draw-{set}-{seed}.log",
    shell:
        "{SFSC} draw --study {STUDY:q} --set {wildcards.set:q} --seed {wildcards.seed} 2> {log:q}"


rule unit:
    input:
        lambda w: f"data/study/.drawn/{w.set}-{DRAWS[Unit(w.set, w.arm, int(w.seed))]}",
    output:
        f"{study.units}/{{set}}/{{arm}}/{{seed}}.json",
    log:
        "results/study/logs/{set}-{arm}-{seed}.log",
    shell:
        "{SFSC} run --study {STUDY:q} --set {wildcards.set:q} --arm {wildcards.arm:q}"
        " --seed {wildcards.seed} 2> {log:q}"
