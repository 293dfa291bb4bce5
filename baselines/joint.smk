use rule train as train_joint with:
    input:
        data=lambda w: data_files(config["train_sets"][w.train_set]),
        recipe=code("baselines/joint.py"),
    wildcard_constraints:
        method="joint",
