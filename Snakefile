"""Train SFSC and its baselines, score every cross-model pair, render tables and figures.

snakemake --cores 8 all                                      the default profile
snakemake --cores 8 all --configfile config/cifar10.yaml     another one
snakemake --cores 8 ablation                                 the ablation tables alone
snakemake --cores 8 tuning --configfile config/tuning.yaml   each method's settings
"""

if "profile" not in config:

    configfile: f"{workflow.basedir}/config/mini.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"

for method in sorted({profiles.method_file(config, name) for name in ALL_METHODS}):
    if own_rules(method):

        include: own_rules(method)


def no_ablation(wildcards):
    raise WorkflowError("methods: none of them is an ablation of another one; add one")


rule all:
    default_target: True
    input:
        f"{RESULTS}/README.md",


rule tables:
    input:
        rules.tables_of_all_methods.output,
        rules.ablation_table.output if ABLATION_ON_PAGE else [],


rule ablation:
    input:
        rules.ablation_table.output if ABLATION else no_ablation,


rule tuning:
    input:
        f"{RESULTS}/chosen.yaml",


rule report:
    input:
        f"{RESULTS}/README.md",
