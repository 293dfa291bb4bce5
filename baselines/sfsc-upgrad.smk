use rule train as train_sfsc_upgrad with:
    input:
        data=lambda w: data_files(config["train_sets"][w.train_set]),
        recipe=code("baselines/sfsc-upgrad.py"),
    wildcard_constraints:
        method="sfsc-upgrad",
