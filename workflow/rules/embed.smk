"""Embed an evaluation set with every sub-model of a method."""

EMBEDDINGS = expand(
    f"{RESULTS}/embeddings/{{{{eval_set}}}}/{{{{method}}}}/seed{{seed}}/{{model}}/{{part}}.npy",
    seed=config["seeds"],
    model=MODELS,
    part=["query", "gallery"],
)


rule embed:
    input:
        data=lambda w: data_files(config["eval_sets"][w.eval_set]),
        # What a whitening is learnt from.
        training=lambda w: (
            data_files(config["train_sets"][TRAIN_SET_OF[w.eval_set]])
            if "whitening" in config["eval_sets"][w.eval_set]
            else []
        ),
        models=lambda w: expand(
            f"{RESULTS}/models/{TRAIN_SET_OF[w.eval_set]}/{w.method}/seed{{seed}}/{{model}}.safetensors",
            seed=config["seeds"],
            model=MODELS,
        ),
    output:
        EMBEDDINGS,
    params:
        # How its embeddings are searched does not change them.
        eval_set=lambda w: canonical(profiles.embedded(config["eval_sets"][w.eval_set])),
    threads: THREADS
    resources:
        mem_mb=lambda w, attempt: attempt * asked.embed(config, w.eval_set)[0],
        runtime=lambda w, attempt: attempt * asked.embed(config, w.eval_set)[1],
        gpu=GPUS,
    log:
        f"{RESULTS}/logs/embed/{{eval_set}}-{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/embed/{{eval_set}}-{{method}}.tsv"
    shell:
        "{SFSC} embed --config {CONFIG:q} --eval-set {wildcards.eval_set:q} --method {wildcards.method:q}"
        " 2> {log:q}"
