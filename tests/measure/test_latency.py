"""Latencies of real sub-model files."""

import pandas as pd

from sfsc import layout
from sfsc.data.normalisation import Normalisation
from sfsc.measure.cost import write_cost
from sfsc.measure.latency import write_latency
from sfsc.report.inputs import read_cost_and_latency
from sfsc.switchable import submodel
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build
from sfsc.switchable.submodel import SubModel


def test_each_architecture_is_measured_once_and_counts_for_all_that_share_it(tmp_path):
    spec = NetworkSpec("resnet18", 8, args={"layers": [1, 1, 1, 1]}, image_size=32)
    colours = Normalisation((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    for method in ("sfsc", "joint"):
        for name, width in (("w025", 0.25), ("w100", 1.0)):
            path = layout.models(tmp_path, "set", method, 0) / f"{name}.safetensors"
            network = build(spec, [width], 0).extract(0)
            submodel.save(path, SubModel(network, spec, width, colours, classes=3))
    write_cost(tmp_path, ["set"], ["sfsc", "joint"], [0])
    write_latency(tmp_path, threads=1, processes=2)

    measured = pd.read_csv(tmp_path / "latency.csv")
    assert measured["model"].tolist() == ["w025", "w100"]
    assert (measured["single_ms"] > 0).all()
    assert (measured["batch_ms"] > measured["single_ms"]).all()
    # Fifteen times the multiply-adds: far beyond the noise of a busy machine.
    assert measured["batch_ms"][1] > 2 * measured["batch_ms"][0]
    joined = read_cost_and_latency(tmp_path)
    assert len(joined) == 4
    assert joined["single_ms"].notna().all()


def test_without_sub_models_there_is_nothing_to_measure(tmp_path):
    write_cost(tmp_path, ["set"], ["chance"], [0])
    write_latency(tmp_path, threads=1, processes=2)
    assert pd.read_csv(tmp_path / "latency.csv").empty
