use rule train as train_independent with:
    input:
        data=lambda w: data_files(config["train_sets"][w.train_set]),
        recipe=code("baselines/independent.py"),
    wildcard_constraints:
        method="independent",
