import numpy as np
from sklearn.datasets import load_digits

from sfsc.data.digits import retrieval_set, train_set


def test_every_digit_is_in_one_part_with_its_own_pixels_and_label():
    data = load_digits()
    train, evaluation = train_set(), retrieval_set()
    train_rows = [int(item.partition("/")[2]) for item in train.images.ids]
    test_rows = [int(item.partition("/")[2]) for item in evaluation.gallery.ids]
    assert sorted(train_rows + test_rows) == list(range(1797))
    assert train.labels.tolist() == data.target[train_rows].tolist()
    assert train.labels.dtype == np.int64
    for images, rows in ((train.images, train_rows), (evaluation.gallery, test_rows)):
        assert images.pixels.dtype == np.uint8
        assert images.pixels.shape == (len(rows), 8, 8, 3)
        for channel in range(3):
            sixteenths = images.pixels[..., channel] / 255 * 16
            assert np.abs(sixteenths - data.images[rows]).max() < 0.04


def test_the_split_takes_two_thirds_of_each_digit_and_never_changes():
    first, second = train_set(), train_set()
    assert first.images.ids == second.images.ids
    of_digit = np.bincount(load_digits().target)
    assert np.abs(np.bincount(first.labels) - of_digit * 2 / 3).max() <= 0.5


def test_the_test_part_is_its_own_gallery():
    evaluation = retrieval_set()
    assert evaluation.queries is evaluation.gallery
    target = load_digits().target
    rows = [int(item.partition("/")[2]) for item in evaluation.gallery.ids]
    relevance = evaluation.ground_truth.relevance["all"]
    for query in (0, 100, len(rows) - 1):
        same = [
            place
            for place, row in enumerate(rows)
            if target[row] == target[rows[query]] and place != query
        ]
        assert relevance[query].positives.tolist() == same


def test_what_tuning_trains_on_and_searches_is_in_no_table():
    rows = {
        name: set(images.ids)
        for name, images in {
            "train": train_set().images,
            "reported": retrieval_set().gallery,
            "tuning train": train_set(tuning=True).images,
            "tuning test": retrieval_set(tuning=True).gallery,
        }.items()
    }
    assert rows["tuning train"] | rows["tuning test"] == rows["train"]
    assert not rows["tuning train"] & rows["tuning test"]
    assert not rows["train"] & rows["reported"]


def test_the_split_for_tuning_takes_two_thirds_of_each_digit():
    whole, part = train_set(), train_set(tuning=True)
    assert np.abs(np.bincount(part.labels) - np.bincount(whole.labels) * 2 / 3).max() <= 0.5
    target = load_digits().target
    assert part.labels.tolist() == [target[int(name.partition("/")[2])] for name in part.images.ids]
