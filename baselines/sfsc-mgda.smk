use rule train as train_sfsc_mgda with:
    input:
        data=lambda w: data_files(config["train_sets"][w.train_set]),
        recipe=code("baselines/sfsc-mgda.py"),
    wildcard_constraints:
        method="sfsc-mgda",
