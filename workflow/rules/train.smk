"""Train families of sub-models: one rule for all methods but those with a rule of their own."""

def method_code(name):
    """The file whose change trains a method again."""
    return code(methods.path(profiles.method_file(config, name)).relative_to(profiles.ROOT))


TRAINED = [name for name in ALL_METHODS if not own_rules(profiles.method_file(config, name))]


# What a training asks of SLURM beside memory, time and threads.
SPREAD = {"gpu": GPUS * PROCESSES}
if NODES > 1:
    # With `mpi`, the plugin leaves srun to the command. Its `gpu` counts those of all machines.
    SPREAD = {"mpi": "srun", "nodes": NODES, "tasks": NODES}
    if GPUS:
        SPREAD["slurm_extra"] = f"--gpus-per-node={PROCESSES}"


def launcher(wildcards, threads):
    """What starts the processes of a training, each of which runs the command that follows."""
    if NODES > 1:
        return (
            ': "${SLURM_JOB_ID:?nodes: more than 1 needs profiles/slurm}"; srun --kill-on-bad-exit'
            f" --nodes {NODES} --ntasks {NODES} --cpus-per-task {threads}"
            f" {PYTHON} -m torch.distributed.run --nnodes {NODES} --nproc-per-node {PROCESSES} --no-python"
            # On the first machine; jobs that share it have shells of different numbers.
            " --rdzv-backend c10d --rdzv-id $SLURM_JOB_ID-$$"
            " --rdzv-endpoint $(hostname):$((20000 + $$ % 10000)) "
        )
    return (
        f"{PYTHON} -m torch.distributed.run --standalone --nproc-per-node {PROCESSES} --no-python "
        if PROCESSES > 1
        else ""
    )


rule train:
    input:
        data=lambda w: data_files(config["train_sets"][w.train_set]),
        method=lambda w: method_code(w.method),
    output:
        models=expand(
            f"{RESULTS}/models/{{{{train_set}}}}/{{{{method}}}}/seed{{{{seed}}}}/{{model}}.safetensors",
            model=MODELS,
        ),
        records=multiext(
            f"{RESULTS}/training/{{train_set}}/{{method}}/seed{{seed}}/", "log.parquet", "summary.json"
        ),
    params:
        settings=lambda w: canonical(profiles.settings(config, w.train_set, w.method)),
        train_set=lambda w: canonical({**config["train_sets"][w.train_set], "methods": None}),
        members=canonical(list(profiles.member_sections(config).items())),  # in their order
        launcher=launcher,
    wildcard_constraints:
        method="|".join(map(re.escape, TRAINED)),
    threads: THREADS * PROCESSES
    resources:
        mem_mb=lambda w, attempt: attempt * asked.train(config, w.train_set)[0],
        runtime=lambda w, attempt: attempt * asked.train(config, w.train_set)[1],
        **SPREAD,
    log:
        f"{RESULTS}/logs/train/{{train_set}}-{{method}}-seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{train_set}}-{{method}}-seed{{seed}}.tsv"
    shell:
        "{params.launcher}{SFSC} train --config {CONFIG:q} --train-set {wildcards.train_set:q}"
        " --method {wildcards.method:q} --seed {wildcards.seed:q} 2> {log:q}"
