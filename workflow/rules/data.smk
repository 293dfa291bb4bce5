"""Get the data of profiles that name some: synthetic landmarks, and public sets to fetch."""

SYNTHETIC_FILES = []

if "synthetic" in config:
    SYNTHETIC_FILES = [
        f"{config['synthetic']['path']}/gldv2/train_clean.csv",
        f"{config['synthetic']['path']}/rsynthetic/gnd_rsynthetic.pkl",
    ]

    rule generate:
        output:
            SYNTHETIC_FILES,
        params:
            options=canonical(config["synthetic"]),
        log:
            f"{RESULTS}/logs/generate.log",
        benchmark:
            f"{RESULTS}/benchmarks/generate/synthetic.tsv"
        shell:
            "sfsc generate --config {CONFIG} 2> {log}"


if "fetch" in config:
    if workflow.is_main_process:
        try:
            print(plan(config), file=sys.stderr)
        except InputError as error:
            raise WorkflowError(str(error)) from None

    # One job a file; a marker says that its images are in place.
    rule fetch:
        output:
            done_marker(FETCHED, "{item}"),
        log:
            f"{RESULTS}/logs/fetch/{{item}}.log",
        wildcard_constraints:
            item="|".join(re.escape(item.name) for item in needed(config)),
        shell:
            "sfsc fetch --config {CONFIG} {wildcards.item} 2> {log}"
