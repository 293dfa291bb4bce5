"""The projection's weights against TorchJD's PCGrad and against vectors, literally."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchjd.aggregation import PCGrad

from sfsc.training.aggregation import (
    conflicts,
    equalise,
    project,
    project_in_order,
    project_intersections,
    total,
)


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


def nested(seed, sizes):
    """Gradients of sub-models with nested weights: row i has those of parts 0 to i."""
    J = jacobian(seed, len(sizes), sum(sizes))
    ends = torch.tensor(sizes).cumsum(0).tolist()
    for row, end in zip(J, ends, strict=True):
        row[end:] = 0
    return J, [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def literal_intersections(J, parts, order):
    """As `literal_pcgrad`, where i and j look at the entries that both have, and at no other."""
    update = torch.zeros_like(J[0])
    for i, met in enumerate(order):
        projected = J[i].clone()
        for j in met:
            common = slice(0, parts[min(i, j)].stop)
            inner = projected[common] @ J[j, common]
            if inner < 0:
                projected[common] -= inner / (J[j, common] @ J[j, common]) * J[j, common]
        update += projected
    return update


@given(st.integers(0, 2**31), st.lists(st.integers(1, 4), min_size=2, max_size=5))
@settings(max_examples=80, deadline=None)
def test_intersections_equal_the_literal_algorithm(seed, sizes):
    J, parts = nested(seed, sizes)
    m = len(sizes)
    grams = torch.stack([J[:, part] @ J[:, part].T for part in parts])
    # The orders that the generator draws: for each i, of the others.
    random = torch.Generator().manual_seed(seed)
    order = [
        [j + (j >= i) for j in torch.randperm(m - 1, generator=random).tolist()] for i in range(m)
    ]
    weights = project_intersections(grams, torch.Generator().manual_seed(seed))
    update = torch.cat([row @ J[:, part] for row, part in zip(weights, parts, strict=True)])
    torch.testing.assert_close(update, literal_intersections(J, parts, order))


def test_intersections_leave_what_a_sub_model_has_alone():
    J = torch.tensor([[1.0, 0.0], [-1.0, 3.0]], dtype=torch.float64)
    grams = torch.stack([J[:, :1] @ J[:, :1].T, J[:, 1:] @ J[:, 1:].T])
    weights = project_intersections(grams, torch.Generator())
    update = torch.cat([weights[0] @ J[:, :1], weights[1] @ J[:, 1:]])
    # In common they cancel each other; where the wide one is alone, its gradient stays as it is.
    assert update.tolist() == [0, 3]


@given(st.integers(0, 2**31), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_equal_voices_are_equally_long(seed, m):
    J = jacobian(seed, m) * torch.arange(1.0, m + 1, dtype=torch.float64)[:, None] ** 3
    weights = equalise((J @ J.T)[None], torch.Generator())[0]
    length = J.norm(dim=1).mean()
    scaled = weights[:, None] * J
    torch.testing.assert_close(scaled.norm(dim=1), length.expand(m))
    torch.testing.assert_close(weights @ J, sum(length * row / row.norm() for row in J))


@pytest.mark.parametrize("aggregation", [equalise, project_intersections])
def test_zero_gradients_get_finite_weights(aggregation):
    J = jacobian(1, 3)
    J[1] = 0
    weights = aggregation((J @ J.T).expand(3, 3, 3), torch.Generator())
    # As the buffer of gradients has them.
    assert torch.isfinite(weights.float()).all()


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
