import numpy as np
import pytest
from made_up_results import METHODS, TRAIN_SET_OF
from PIL import Image

from sfsc.files import InputError
from sfsc.report.figures import write_figures


def test_figures_are_small_images_that_show_something(make_results):
    methods = ["chance", "joint", "sfsc"]
    results = make_results(methods, [0, 1], ["gldv2-synthetic", "digits"])
    write_figures(results, methods, TRAIN_SET_OF)
    pairs = ["pairs-digits", "pairs-gldv2-synthetic"]
    names = [
        "cost-accuracy",
        "latency-accuracy",
        *pairs,
        "training-conflict",
        "training-uncertainty",
    ]
    assert [path.stem for path in sorted((results / "figures").glob("*.png"))] == names
    assert [path.stem for path in sorted((results / "figures").glob("*.pdf"))] == names
    for name in names:
        png = results / "figures" / f"{name}.png"
        assert png.stat().st_size < 300_000
        with Image.open(png) as image:
            assert len(image.getcolors()) > 50
            pixels = np.asarray(image.convert("RGB"))
        assert min(pixels.shape[:2]) > 400
        white = (pixels == 255).all(axis=2).mean()
        assert 0.2 < white < 0.97
        assert (results / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_results_give_the_same_bytes(make_results):
    results = make_results(["chance", "sfsc"], [0], ["digits"])

    def bytes_by_name():
        write_figures(results, METHODS, TRAIN_SET_OF)
        return {path.name: path.read_bytes() for path in (results / "figures").iterdir()}

    first = bytes_by_name()
    assert len(first) == 2 * 5
    assert bytes_by_name() == first


def test_one_seed_without_logs(make_results):
    results = make_results(["independent", "bct"], [0], ["digits"])
    write_figures(results, METHODS, TRAIN_SET_OF)
    names = {path.stem for path in (results / "figures").iterdir()}
    assert names == {"cost-accuracy", "latency-accuracy", "pairs-digits"}


def test_one_width_and_chance_alone(make_results):
    results = make_results(["sfsc"], [0], ["digits"], ["w100"])
    write_figures(results, METHODS, TRAIN_SET_OF)
    names = {path.stem for path in (results / "figures").iterdir()}
    assert {"cost-accuracy", "latency-accuracy", "pairs-digits"} <= names
    results = make_results(["chance"], [0], ["digits"])
    write_figures(results, METHODS, TRAIN_SET_OF)
    assert {path.stem for path in (results / "figures").iterdir()} == {"pairs-digits"}


def test_refusals(make_results):
    results = make_results(["bct"], [0])
    with pytest.raises(InputError, match="digits has no training set"):
        write_figures(
            results, METHODS, {"gldv2-synthetic": "landmarks", "roxford-synthetic": "landmarks"}
        )
    with pytest.raises(InputError, match="no result of sfsc"):
        write_figures(results, ["sfsc"], TRAIN_SET_OF)
