use rule train as train_sfsc_cagrad with:
    input:
        data=lambda w: data_files(config["train_sets"][w.train_set]),
        recipe=code("baselines/sfsc-cagrad.py"),
    wildcard_constraints:
        method="sfsc-cagrad",
