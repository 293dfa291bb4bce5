"""Which images a batch holds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.data.order import Order
from sfsc.data.share import some_labels, some_rows
from sfsc.files import InputError


def order(count=20, batch_size=6, seed=0, **more):
    return Order(np.arange(count), np.arange(count), batch_size, seed, **more)


def epoch(of, number):
    steps = range(number * of.steps_per_epoch, (number + 1) * of.steps_per_epoch)
    return torch.cat([of.batch(step)[0] for step in steps])


def test_an_epoch_shows_each_image_once_in_a_new_order():
    found = order(count=18, seed=7)
    epochs = [epoch(found, number) for number in range(2)]
    assert all(sorted(each.tolist()) == list(range(18)) for each in epochs)
    assert not torch.equal(*epochs)


def test_a_batch_larger_than_the_set_is_the_set():
    found = order(count=5, batch_size=64)
    assert found.steps_per_epoch == 1
    assert len(found.batch(0)[0]) == 5


def test_a_training_set_of_one_image_is_refused():
    with pytest.raises(InputError, match="a training set of 1 image: training takes two or more"):
        order(count=1)


@given(st.integers(0, 100), st.integers(2, 4))
@settings(max_examples=20, deadline=None)
def test_a_batch_holds_several_images_of_each_of_its_classes(seed, several):
    rows = np.arange(100, 160)
    found = Order(rows, rows % 5, 4 * several, seed, images_per_class=several)
    shown = epoch(found, 3)
    assert len(set(shown.tolist())) == len(shown)
    assert set(shown.tolist()) <= set(rows.tolist())
    whole = 5 * (12 // several)
    for step in range(whole // 4):
        batch_rows, labels = found.batch(3 * found.steps_per_epoch + step)
        assert torch.equal(batch_rows % 5, labels)
        assert all(count % several == 0 for count in torch.bincount(labels))


def test_shares_of_classes_and_images_are_disjoint_and_together_all():
    labels = np.arange(100) % 10
    old, new = some_labels(10, (0.0, 0.3)), some_labels(10, (0.3, 1.0))
    assert len(old) == 3
    assert sorted([*old, *new]) == list(range(10))
    every = np.arange(10)
    first, others = (some_rows(labels, every, share) for share in ((0.0, 0.3), (0.3, 1.0)))
    assert np.bincount(labels[first]).tolist() == [3] * 10
    assert sorted([*first, *others]) == list(range(100))
    assert set(labels[some_rows(labels, old, (0.0, 1.0))]) == set(old)
    with pytest.raises(InputError, match="leaves none"):
        some_rows(np.arange(3), np.arange(3), (0.0, 0.3))
