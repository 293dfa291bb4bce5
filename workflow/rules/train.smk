"""Train families of sub-models: SFSC and its ablations here, baselines by inheriting the rule."""


rule train:
    input:
        data=lambda w: data_files(config["train_sets"][w.train_set]),
        recipe=f"{workflow.basedir}/sfsc/method.py",
    output:
        models=expand(
            f"{RESULTS}/models/{{{{train_set}}}}/{{{{method}}}}/seed{{{{seed}}}}/{{model}}.safetensors",
            model=MODELS,
        ),
        records=multiext(
            f"{RESULTS}/training/{{train_set}}/{{method}}/seed{{seed}}/", "log.parquet", "summary.json"
        ),
    params:
        settings=lambda w: canonical(profiles.settings(config, w.train_set)),
        train_set=lambda w: canonical(config["train_sets"][w.train_set]),
        widths=config["widths"],
        launcher=f"torchrun --standalone --nproc-per-node {PROCESSES} --no-python "
        if PROCESSES > 1
        else "",
    wildcard_constraints:
        method="|".join(profiles.BUILT_IN),
    threads: THREADS * PROCESSES
    resources:
        mem_mb=lambda w, attempt: attempt * asked.train(config, w.train_set)[0],
        runtime=lambda w, attempt: attempt * asked.train(config, w.train_set)[1],
        gpu=GPUS * PROCESSES,
    log:
        f"{RESULTS}/logs/train/{{train_set}}-{{method}}-seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{train_set}}-{{method}}-seed{{seed}}.tsv"
    shell:
        "{params.launcher}sfsc train --config {CONFIG} --train-set {wildcards.train_set}"
        " --method {wildcards.method} --seed {wildcards.seed} 2> {log}"
