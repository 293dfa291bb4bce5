ruleorder: chance > embed


rule chance:
    input:
        data=lambda w: data_files(config["eval_sets"][w.eval_set]),
        recipe=code("baselines/chance.py"),
    output:
        [path.replace("{method}", "chance") for path in EMBEDDINGS],
    log:
        f"{RESULTS}/logs/embed/{{eval_set}}-chance.log",
    benchmark:
        f"{RESULTS}/benchmarks/embed/{{eval_set}}-chance.tsv"
    shell:
        "{PYTHON} {input.recipe:q} --config {CONFIG:q} --eval-set {wildcards.eval_set:q} 2> {log:q}"
