"""Score every cross-model pair, and put the scores together."""


MIXED = ["refresh.csv", "mixed.csv"] if PROFILE.mixed_galleries else []


rule evaluate:
    input:
        EMBEDDINGS,
    output:
        multiext(
            f"{RESULTS}/evaluation/{{eval_set}}/{{method}}/",
            "metrics.csv", "per_query.parquet", "floor.csv", *MIXED,
        ),
    params:
        eval_set=lambda w: canonical(config["eval_sets"][w.eval_set]),
    threads: THREADS
    resources:
        mem_mb=lambda w, input, attempt: attempt * asked.evaluate(input.size_mb)[0],
        runtime=lambda w, input, attempt: attempt * asked.evaluate(input.size_mb)[1],
    log:
        f"{RESULTS}/logs/evaluate/{{eval_set}}-{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{{eval_set}}-{{method}}.tsv"
    shell:
        "{SFSC} evaluate-method --config {CONFIG:q} --eval-set {wildcards.eval_set:q}"
        " --method {wildcards.method:q} 2> {log:q}"


rule collect:
    input:
        expand(
            f"{RESULTS}/evaluation/{{eval_set}}/{{method}}/metrics.csv",
            eval_set=config["eval_sets"],
            method=METHODS,
        ),
    output:
        multiext(
            f"{RESULTS}/",
            "metrics.csv", "per_query.parquet", "floor.csv", "compatibility.csv", "cost.csv", *MIXED,
        ),
    log:
        f"{RESULTS}/logs/collect.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect/all.tsv"
    shell:
        "({SFSC} collect --config {CONFIG:q} && {SFSC} cost --config {CONFIG:q}) 2> {log:q}"


# Waits for all cores: what runs next to it would be measured with it.
rule latency:
    input:
        f"{RESULTS}/cost.csv",
    output:
        f"{RESULTS}/latency.csv",
    threads: ALL_CORES
    log:
        f"{RESULTS}/logs/latency.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/latency.tsv"
    shell:
        "{SFSC} latency --config {CONFIG:q} --processes {threads} 2> {log:q}"


# Apart from `collect`, so that the ablation alone trains none of the baselines.
rule collect_ablation:
    input:
        expand(
            f"{RESULTS}/evaluation/{{eval_set}}/{{method}}/metrics.csv",
            eval_set=config["eval_sets"],
            method=ABLATION,
        ),
    output:
        multiext(
            f"{RESULTS}/ablation/",
            "metrics.csv", "per_query.parquet", "floor.csv", "compatibility.csv",
        ),
    params:
        methods=" ".join(f"--method {method}" for method in ABLATION),
    log:
        f"{RESULTS}/logs/collect-ablation.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect/ablation.tsv"
    shell:
        "{SFSC} collect --config {CONFIG:q} {params.methods} --out {RESULTS:q}/ablation 2> {log:q}"
