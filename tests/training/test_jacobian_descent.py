"""TorchJD's weightings as aggregations."""

import pytest
import torch
from torchjd import aggregation as oracle

from sfsc.files import InputError
from sfsc.seeds import generator
from sfsc.training.jacobian_descent import torchjd


@pytest.mark.parametrize(
    ("name", "options"), [("UPGrad", {}), ("MGDA", {}), ("CAGrad", {"c": 0.5})]
)
def test_the_update_is_torchjds_times_the_number_of_gradients(name, options):
    J = torch.randn(4, 50, dtype=torch.float64, generator=generator(0, name))
    J[1] -= 2 * J[0]
    weights = torchjd(name, **options)((J @ J.T)[None], generator(0))
    expected = 4 * getattr(oracle, name)(**options)(J)
    torch.testing.assert_close(weights[0] @ J, expected, rtol=1e-4, atol=1e-6)


def test_what_torchjd_lacks_is_named():
    with pytest.raises(InputError, match="no aggregator 'Nothing'"):
        torchjd("Nothing")
    with pytest.raises(InputError, match="'GradDrop'"):
        torchjd("GradDrop")
    with pytest.raises(InputError, match="GradVac has a memory"):
        torchjd("GradVac")


def test_random_weights_follow_the_generator():
    J = torch.randn(4, 50, dtype=torch.float64, generator=generator(0))
    J[1] -= 2 * J[0]
    first, again, other = (
        torchjd("Random")((J @ J.T)[None], generator(0, step)) for step in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
