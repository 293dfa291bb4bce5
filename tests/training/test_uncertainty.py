"""The uncertainty loss against torch.distributions and a Monte-Carlo estimate."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Dirichlet, kl_divergence
from torch.nn.functional import normalize, softplus

from sfsc.training.uncertainty import evidential_loss, kl_from_uniform


def random_logits(seed, batch, classes, scale):
    random = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(batch, classes, generator=random, dtype=torch.float64)
    return logits, torch.randint(classes, (batch,), generator=random)


@given(st.integers(0, 2**31), st.integers(2, 60), st.floats(0.1, 20))
@settings(max_examples=60, deadline=None)
def test_divergence_equals_torch_distributions(seed, classes, scale):
    logits, _ = random_logits(seed, 5, classes, scale)
    alpha = softplus(logits) + 1
    expected = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones_like(alpha)))
    torch.testing.assert_close(kl_from_uniform(alpha), expected, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 2**31), st.integers(2, 60), st.floats(0.1, 20), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_loss_equals_its_definition_by_torch_distributions(seed, classes, scale, kl_weight):
    logits, labels = random_logits(seed, 7, classes, scale)
    alpha = softplus(logits) + 1
    terms, uncertainties = [], []
    for row, label in zip(alpha, labels.tolist(), strict=True):
        wrong = row.clone()
        wrong[label] = 1
        divergence = kl_divergence(Dirichlet(wrong), Dirichlet(torch.ones_like(wrong)))
        expected = torch.digamma(row.sum()) - torch.digamma(row[label])
        terms.append(expected + kl_weight * math.log(classes) / classes * divergence)
        uncertainties.append(classes / row.sum())
    loss, uncertainty = evidential_loss(logits, labels, kl_weight)
    torch.testing.assert_close(loss, torch.stack(terms).mean())
    torch.testing.assert_close(uncertainty, torch.stack(uncertainties).mean())
    assert 0 < uncertainty <= 1


def test_expected_cross_entropy_equals_a_monte_carlo_estimate():
    logits = torch.tensor([[2.0, -1.0, 0.5, 3.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        samples = Dirichlet(softplus(logits) + 1).sample((200_000,))
    for label in range(4):
        losses = -samples[:, :, label].log().mean(dim=1)
        error = losses.std() / len(losses) ** 0.5
        loss, _ = evidential_loss(logits, torch.tensor([label, label]), kl_weight=0.0)
        assert abs(loss - losses.mean()) < 5 * error


def test_gradient_is_finite_and_correct():
    logits, labels = random_logits(0, 3, 5, 2.0)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: evidential_loss(x, labels, 0.3)[0], [logits])
    extreme = torch.tensor([[-200.0, 200.0, 1e4]], requires_grad=True)
    loss, _ = evidential_loss(extreme, torch.tensor([0]), 5e-4)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(extreme.grad).all()


def test_certain_sub_models_have_smaller_gradients():
    norms = []
    for evidence in (0.0, 5.0, 50.0):
        logits = torch.tensor([[evidence, 0.0, 0.0]], requires_grad=True)
        evidential_loss(logits, torch.tensor([0]), 5e-4)[0].backward()
        norms.append(logits.grad.norm().item())
    assert norms[0] > norms[1] > norms[2]


def test_computed_in_float32_under_autocast():
    logits, labels = random_logits(0, 4, 10, 3.0)
    expected, _ = evidential_loss(logits.float(), labels, 5e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, uncertainty = evidential_loss(logits.float(), labels, 5e-4)
    assert loss.dtype == uncertainty.dtype == torch.float32
    assert torch.equal(loss, expected)


@pytest.mark.parametrize("scale", [8, 16])
def test_one_weight_means_the_same_for_ten_classes_and_for_eighty_thousand(scale):
    """At the start: a fresh classifier, unit embeddings brought to the length `scale`."""
    shares = []
    for classes in (10, 50, 1000, 24_393, 81_313):
        dimension, rows = (64, 128) if classes <= 1000 else (512, 4)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            classifier = nn.Linear(dimension, classes, bias=False)
            logits = classifier(scale * normalize(torch.randn(rows, dimension), dim=1))
            labels = torch.randint(classes, (rows,))
        expected, _ = evidential_loss(logits, labels, 0.0)
        both, _ = evidential_loss(logits, labels, 0.5)
        shares.append(((both - expected) / expected).item())
    assert max(shares) < 2 * min(shares)
    assert min(shares) > 0.02  # and it does count
