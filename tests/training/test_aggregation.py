"""The projection's weights against TorchJD's PCGrad and against vectors, literally."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchjd.aggregation import PCGrad

from sfsc.training.aggregation import conflicts, project, project_in_order, total


def jacobian(seed, rows, columns=7):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=random, dtype=torch.float64)


def literal_pcgrad(J, order):
    """Yu et al. 2020, algorithm 1, on whole vectors; order[i] lists whom gradient i meets."""
    update = torch.zeros_like(J[0])
    for i, met in enumerate(order):
        projected = J[i].clone()
        for j in met:
            inner = projected @ J[j]
            if inner < 0:
                projected = projected - inner / (J[j] @ J[j]) * J[j]
        update += projected
    return update


def random_order(seed, m):
    random = torch.Generator().manual_seed(seed)
    return [[j for j in torch.randperm(m, generator=random).tolist() if j != i] for i in range(m)]


@given(st.integers(0, 2**31), st.integers(2, 8))
@settings(max_examples=80, deadline=None)
def test_equals_the_literal_algorithm(seed, m):
    J, order = jacobian(seed, m), random_order(seed, m)
    weights = project_in_order((J @ J.T)[None], torch.tensor(order))[0]
    torch.testing.assert_close(weights @ J, literal_pcgrad(J, order))


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_two_gradients_equal_torchjd(seed):
    J = jacobian(seed, 2, 3)
    weights = project((J @ J.T)[None], torch.Generator())[0]
    torch.testing.assert_close(weights @ J, PCGrad()(J))


@given(st.integers(0, 2**31), st.integers(3, 6))
@settings(max_examples=40, deadline=None)
def test_more_gradients_equal_torchjd_with_its_permutations(seed, m):
    J = jacobian(seed, m, 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        theirs = PCGrad()(J)
        # TorchJD draws one permutation of all gradients for each, from the global generator.
        torch.manual_seed(seed)
        drawn = [[j for j in torch.randperm(m).tolist() if j != i] for i in range(m)]
    weights = project_in_order((J @ J.T)[None], torch.tensor(drawn))[0]
    torch.testing.assert_close(weights @ J, theirs)


def test_layers_are_projected_apart_with_one_order():
    blocks = [jacobian(seed, 4, 5) for seed in range(3)]
    grams = torch.stack([J @ J.T for J in blocks])
    together = project(grams, torch.Generator().manual_seed(3))
    for block, weights in enumerate(together):
        alone = project(grams[block : block + 1], torch.Generator().manual_seed(3))[0]
        torch.testing.assert_close(weights, alone)


@given(st.integers(0, 2**31), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_without_conflict_the_sum_is_left_alone(seed, m):
    J = jacobian(seed, m).abs()
    gram = (J @ J.T)[None]
    torch.testing.assert_close(project(gram, torch.Generator()), total(gram, torch.Generator()))


def test_the_projection_removes_the_conflict_of_a_pair():
    J = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    update = project((J @ J.T)[None], torch.Generator())[0] @ J
    assert all(update @ row >= -1e-12 for row in J)


@pytest.mark.parametrize("m", [2, 4])
def test_zero_gradients_are_harmless(m):
    J = jacobian(1, m)
    J[1] = 0
    assert torch.isfinite(project((J @ J.T)[None], torch.Generator())).all()


def test_orders_are_random_and_reproducible():
    J = jacobian(5, 6, 3)
    gram = (J @ J.T)[None]
    random = torch.Generator().manual_seed(0)
    drawn = [project(gram, random) for _ in range(10)]
    assert any(not torch.equal(drawn[0], other) for other in drawn[1:])
    assert torch.equal(drawn[0], project(gram, torch.Generator().manual_seed(0)))


def test_conflicts_are_shares_and_cosines_of_pairs():
    J = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    share, cosines = conflicts(J @ J.T)
    assert share == pytest.approx(1 / 3)
    assert cosines.tolist() == pytest.approx([-(2**-0.5), 0.0, 2**-0.5])
