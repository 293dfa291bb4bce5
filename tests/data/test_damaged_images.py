"""A small run of benchmarks/fuzz.py: damaged images are decoded, or refused by name."""

import pytest

from benchmarks.fuzz import FORMATS, fuzz


@pytest.mark.parametrize("form", FORMATS)
def test_damaged_images_are_decoded_or_refused_by_name(tmp_path, form):
    outcome = fuzz(tmp_path, form, count=40, seed=0)
    assert outcome.faults == []
    assert outcome.decoded + outcome.refused == 40
    assert outcome.refused > 5
