"""Train SFSC and its baselines, score every cross-model pair, render tables and figures.

snakemake --cores 8 all                                      the default profile
snakemake --cores 8 all --configfile config/cifar10.yaml     another one
snakemake --cores 8 ablation                                 the ablation tables alone
"""

if "profile" not in config:

    configfile: f"{workflow.basedir}/config/mini.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"

# A method that is not built in brings its own rule.
for method in config["methods"]:
    if method not in profiles.BUILT_IN:

        include: f"baselines/{method}.smk"


def no_ablation(wildcards):
    raise WorkflowError("methods: neither sfsc nor an ablation of it is among them; add one")


rule all:
    default_target: True
    input:
        f"{RESULTS}/README.md",


rule tables:
    input:
        rules.tables_of_all_methods.output,
        rules.ablation_table.output if ABLATION else [],


rule ablation:
    input:
        rules.ablation_table.output if ABLATION else no_ablation,


rule report:
    input:
        f"{RESULTS}/README.md",
