"""Generate the synthetic landmarks, for profiles that have them."""

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
