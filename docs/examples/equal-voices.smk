use rule train as train_equal_voices with:
    input:
        data=lambda w: data_files(config["train_sets"][w.train_set]),
        recipe=code("baselines/equal-voices.py"),
    wildcard_constraints:
        method="equal-voices",
