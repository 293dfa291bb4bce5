"""Get the data of profiles that name some: synthetic landmarks, and public sets to fetch."""

SYNTHETIC_FILES = []

if "synthetic" in config:
    DRAWN = profiles.expanded(config["synthetic"]["path"])
    SYNTHETIC_FILES = [f"{DRAWN}/gldv2/train_clean.csv", f"{DRAWN}/rsynthetic/gnd_rsynthetic.pkl"]

    rule generate:
        output:
            SYNTHETIC_FILES,
        params:
            options=lambda w: canonical(config["synthetic"]),  # a function: it may hold braces
        log:
            f"{RESULTS}/logs/generate.log",
        benchmark:
            f"{RESULTS}/benchmarks/generate/synthetic.tsv"
        shell:
            "{SFSC} generate --config {CONFIG:q} 2> {log:q}"


if FETCHED:
    if workflow.is_main_process and (text := plan(config)[0]):
        print(text, file=sys.stderr)

    # One job per file. The command keeps a record of its own, which Snakemake, that removes outputs
    # of what it takes for unfinished, does not know: a job that runs again fetches nothing again.
    rule fetch:
        output:
            touch(f"{FETCHED}/.jobs/{{item}}"),
        log:
            f"{RESULTS}/logs/fetch/{{item}}.log",
        wildcard_constraints:
            item="|".join(re.escape(item.name) for item in needed(config)),
        localrule: True
        shell:
            "{SFSC} fetch --config {CONFIG:q} {wildcards.item:q} 2> {log:q}"


PACKED = {
    profiles.expanded(entry["packed"]).as_posix(): name
    for name, entry in config["train_sets"].items()
    if "packed" in entry
}

if PACKED:

    rule pack:
        input:
            data=lambda w: source_files(config["train_sets"][PACKED[w.folder]]),
        output:
            "{folder}/manifest.json",
        params:
            train_set=lambda w: canonical(config["train_sets"][PACKED[w.folder]]),
            name=lambda w: PACKED[w.folder],
        wildcard_constraints:
            folder="|".join(map(re.escape, PACKED)),
        threads: ALL_CORES
        resources:
            mem_mb=lambda w, threads, attempt: attempt
            * asked.pack(config["train_sets"][PACKED[w.folder]], threads)[0],
            runtime=lambda w, threads, attempt: attempt
            * asked.pack(config["train_sets"][PACKED[w.folder]], threads)[1],
        log:
            f"{RESULTS}/logs/pack/{{folder}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/pack/{{folder}}.tsv"
        shell:
            "{SFSC} pack --config {CONFIG:q} --train-set {params.name:q} --processes {threads} 2> {log:q}"
