"""The map of conflict, on a set that is small enough for a naive look."""

import json

import pandas as pd
import pytest
import torch

from sfsc.files import InputError
from sfsc.study.conflicts import cells, measure_all

MAP = """
method: sfsc-plain
base:
  profile: tiny-map
  seeds: [0]
  methods: [sfsc-plain]
  widths: [0.5, 1.0]
  model:
    backbone: resnet18
    args: {layers: [1, 1, 1, 1]}
    base_channels: 4
    stem_stride: 2
    embedding_dim: 8
  training: {epochs: 1, batch_size: 256, learning_rate: 0.01}
  train_sets: {digits: {kind: digits, image_size: 8}}
  eval_sets: {digits: {kind: digits, train_set: digits}}
factors:
  classifier:
    private: {method: joint}
"""


def test_cells_are_measured_once(tmp_path):
    path, out = tmp_path / "map.yaml", tmp_path / "conflicts"
    path.write_text(MAP)
    measure_all(path, out)
    table = pd.read_csv(tmp_path / "conflicts.csv").set_index("factor")
    assert list(table.index) == ["base", "classifier"]
    assert table["mini_batches"].between(0, 1).all()
    assert table["lowest_cosine"].between(-1, 1).all()
    whole = json.loads((out / "base-base.json").read_text())["seeds"][0]["whole_set"]
    assert list(whole) == ["0.1", "0.5", "1"]
    kept = {file: file.stat().st_mtime_ns for file in out.iterdir()}
    measure_all(path, out)
    assert kept == {file: file.stat().st_mtime_ns for file in out.iterdir()}


def test_a_wrong_map_is_one_line(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text("base: {}\n")
    with pytest.raises(InputError, match="has base, method and factors"):
        cells(path)


def test_the_gram_of_several_batches_is_that_of_their_sum():
    """Against autograd, without the buffer of rows."""
    from sfsc.profile import TrainingOptions
    from sfsc.switchable.backbone import NetworkSpec
    from sfsc.switchable.network import build
    from sfsc.training.aggregation import total
    from sfsc.training.batch import Batch
    from sfsc.training.objectives import Problem, SharedClassifier
    from sfsc.training.processes import Processes
    from sfsc.training.step import Step

    spec = NetworkSpec("resnet18", 8, 4, 2, {"layers": [1, 1, 1, 1]}, image_size=16)
    network = build(spec, [0.5, 1.0], 0, ["w050", "w100"])
    objective = SharedClassifier(Problem(2, 8, 3, 4.0))
    random = torch.Generator().manual_seed(0)
    batches = [
        Batch(
            torch.randn(6, 3, 16, 16, generator=random),
            torch.randint(3, (6,), generator=random),
            torch.arange(6),
            step,
            2,
            random,
        )
        for step in range(2)
    ]
    options = TrainingOptions(epochs=1, batch_size=6, learning_rate=0.1)
    gram = Step(network, objective, total, "network", options, Processes()).gram(batches)

    shared = [*network.shared_parameters(), *objective.shared_parameters()]
    rows = []
    for index in range(2):
        network.select(index)
        leaves = [*network.leaves(index), *objective.shared_parameters()]
        for leaf in leaves:
            leaf.grad = None
        for batch in batches:
            unit = torch.nn.functional.normalize(network(batch.images, index), dim=1)
            objective(index, unit, batch, {}).loss.backward()
        padded = []
        for parameter, leaf in zip(shared, leaves, strict=True):
            full = torch.zeros_like(parameter)
            full[tuple(slice(size) for size in leaf.shape)] = leaf.grad
            padded.append(full.flatten())
        rows.append(torch.cat(padded).double())
    J = torch.stack(rows)
    torch.testing.assert_close(gram, J @ J.T, rtol=1e-5, atol=1e-8)
