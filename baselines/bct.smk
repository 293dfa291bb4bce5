use rule train as train_bct with:
    input:
        data=lambda w: data_files(config["train_sets"][w.train_set]),
        recipe=code("baselines/bct.py"),
    wildcard_constraints:
        method="bct",
