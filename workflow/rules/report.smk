"""Tables, figures, and the page that shows them together."""


CONTRASTS = PROFILE.contrasts
UPGRADES = profiles.scenario(config) == "generations"


def rendered(name):
    return multiext(f"{RESULTS}/tables/{name}", ".csv", ".md", ".tex")


rule tables_of_all_methods:
    input:
        multiext(
            f"{RESULTS}/",
            "metrics.csv", "per_query.parquet", "compatibility.csv", "cost.csv", "latency.csv", *MIXED,
        ),
    output:
        rendered("summary"),
        rendered("main"),
        rendered("pairs"),
        rendered("compatibility"),
        rendered("upgrade") if UPGRADES else [],
        rendered("refresh") if MIXED else [],
        rendered("cost"),
        rendered("training_time"),
        rendered("contrasts") if CONTRASTS else [],
    params:
        methods=METHODS,
        contrasts=canonical(config.get("contrasts", [])),
        names="summary main pairs compatibility cost"
        + (" upgrade" if UPGRADES else "")
        + (" refresh" if MIXED else "")
        + (" contrasts" if CONTRASTS else ""),
    log:
        f"{RESULTS}/logs/tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/tables.tsv"
    shell:
        "{SFSC} tables --config {CONFIG:q} {params.names} 2> {log:q}"


rule tune:
    input:
        f"{RESULTS}/metrics.csv",
    output:
        multiext(f"{RESULTS}/", "tuning.csv", "chosen.yaml"),
    log:
        f"{RESULTS}/logs/tune.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/tune.tsv"
    shell:
        "{SFSC} tune --config {CONFIG:q} 2> {log:q}"


rule ablation_table:
    input:
        multiext(f"{RESULTS}/ablation/", "per_query.parquet", "compatibility.csv"),
    output:
        rendered("ablation"),
    params:
        methods=METHODS,
    log:
        f"{RESULTS}/logs/ablation.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/ablation.tsv"
    shell:
        "{SFSC} tables --config {CONFIG:q} --scores {RESULTS:q}/ablation ablation 2> {log:q}"


rule figures:
    input:
        multiext(f"{RESULTS}/", "metrics.csv", "compatibility.csv", "cost.csv", "latency.csv"),
    output:
        directory(f"{RESULTS}/figures"),
    params:
        methods=METHODS,
    log:
        f"{RESULTS}/logs/figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/figures.tsv"
    shell:
        "{SFSC} figures --config {CONFIG:q} 2> {log:q}"


rule page:
    input:
        rules.tables_of_all_methods.output,
        rules.ablation_table.output if ABLATION_ON_PAGE else [],
        rules.figures.output,
    output:
        f"{RESULTS}/README.md",
        f"{RESULTS}/provenance.json",
        f"{RESULTS}/config.yaml",
    params:
        title=lambda w: str(config.get("title")),  # a function: it may hold braces
    log:
        f"{RESULTS}/logs/page.log",
    benchmark:
        f"{RESULTS}/benchmarks/report/page.tsv"
    shell:
        "{SFSC} page --config {CONFIG:q} 2> {log:q}"
