"""What the objectives hold, learn and weigh."""

import math

import pytest
import torch
import torch.nn.functional as F

from sfsc.method import find_recipe
from sfsc.training import loop
from sfsc.training.family import train_family
from sfsc.training.objectives import (
    BackwardCompatible,
    CrossEntropy,
    Evidence,
    FrozenClassifier,
    PrivateClassifiers,
    SharedClassifier,
    evidence,
)
from sfsc.training.uncertainty import evidential_loss


def batch(seed=0, rows=6, dimension=8, classes=4):
    random = torch.Generator().manual_seed(seed)
    embeddings = 16 * F.normalize(torch.randn(rows, dimension, generator=random), dim=1)
    return embeddings, torch.randint(classes, (rows,), generator=random)


def objective_of(method):
    """The objective class of a baseline's file."""
    return find_recipe(method).__globals__


@pytest.fixture
def steps(monkeypatch):
    """Every Step that a training makes."""
    made = []
    original = loop.Step

    def step(*arguments):
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(loop, "Step", step)
    return made


def test_private_classifiers_have_losses_of_their_own_and_a_shared_one_has_one(make_task):
    options = make_task(learn_temperature=True, learn_offset=True).options
    private = PrivateClassifiers(3, 8, 4, evidence(options))
    assert len(list(private.parameters())) == 3 * 3
    assert list(private.shared_parameters()) == []
    shared = SharedClassifier(3, 8, 4, evidence(options))
    assert list(shared.shared_parameters()) == list(shared.parameters())
    assert len(list(shared.parameters())) == 3
    plain = SharedClassifier(3, 8, 4, evidence(make_task().options))
    assert [p.shape for p in plain.parameters()] == [(4, 8)]


def test_temperature_and_offset_change_the_logits():
    embeddings, labels = batch()
    logits = embeddings[:, :4]
    loss = Evidence(0.5, learn_temperature=True, learn_offset=True)
    start, uncertainty = loss(logits, labels)
    expected = evidential_loss(logits, labels, 0.5)
    torch.testing.assert_close((start, uncertainty), expected)
    with torch.no_grad():
        loss.log_temperature += math.log(3)
        loss.offset -= 2
    torch.testing.assert_close(
        tuple(loss(logits, labels)), evidential_loss(3 * logits - 2, labels, 0.5)
    )


@pytest.mark.parametrize("method", ["sfsc", "independent-evidential"])
def test_temperature_and_offset_learn(make_task, steps, method):
    train_family(
        make_task(learn_temperature=True, learn_offset=True, epochs=1), find_recipe(method)
    )
    learnt = [
        parameter
        for step in steps
        for name, parameter in step.modules.named_parameters()
        if name.endswith(("log_temperature", "offset"))
    ]
    # One of each for all sub-models that share a classifier, or one of each per network.
    assert len(learnt) == (2 if method == "sfsc" else 4)
    assert all(parameter.abs() > 1e-3 for parameter in learnt)
    for step in steps:
        undecayed = {id(p) for p in step.optimiser.param_groups[1]["params"]}
        assert step.optimiser.param_groups[1]["weight_decay"] == 0
        assert {id(p) for p in learnt} & {id(p) for p in step.modules.parameters()} <= undecayed


@pytest.mark.parametrize("method", ["bct", "bct-frozen", "bct-frozen-evidential"])
def test_the_teacher_never_changes_nor_is_decayed(make_task, steps, method):
    train_family(make_task(epochs=1, weight_decay=10.0), find_recipe(method))
    first, student = (step.modules["objective"] for step in steps)
    teacher = first.prototypes(0)
    frozen = student.influence if method == "bct" else student
    assert isinstance(frozen, FrozenClassifier)
    assert torch.equal(frozen.teacher, teacher)
    optimised = [p for group in steps[1].optimiser.param_groups for p in group["params"]]
    assert not any(p.data_ptr() == frozen.teacher.data_ptr() for p in optimised)
    # `bct` has a classifier of its own, too; the controls have the teacher's alone.
    own = [p for p in student.parameters() if p.shape == teacher.shape]
    assert len(own) == (1 if method == "bct" else 0)


def test_backward_compatibility_adds_the_two_cross_entropies():
    embeddings, labels = batch()
    teacher = torch.randn(4, 8)
    objective = BackwardCompatible(1, 8, 4, teacher)
    own = objective.prototypes(0)
    teacher_before = teacher.clone()
    expected = sum(F.cross_entropy(embeddings @ each.T, labels) for each in (own, teacher))
    torch.testing.assert_close(objective(0, embeddings, labels).loss, expected)
    teacher += 1  # the objective holds a copy
    assert torch.equal(objective.influence.teacher, teacher_before)


def test_cross_entropy_has_no_uncertainty():
    embeddings, labels = batch()
    loss, uncertainty = CrossEntropy()(embeddings[:, :4], labels)
    torch.testing.assert_close(loss, F.cross_entropy(embeddings[:, :4], labels))
    assert uncertainty is None


def test_homoscedastic_losses_are_those_of_kendall():
    """With sigma^2 = exp(s): L / sigma^2 + log sigma (Kendall et al. 2018, equation 10)."""
    objective = objective_of("sfsc-homoscedastic")["Homoscedastic"](3, 8, 4)
    embeddings, labels = batch()
    plain = F.cross_entropy(embeddings @ objective.classifier.weight.T, labels)
    torch.testing.assert_close(objective(1, embeddings, labels).loss, plain)
    sigma = torch.tensor(1.7)
    with torch.no_grad():
        objective.log_variances[1].fill_(2 * math.log(1.7))
    outcome = objective(1, embeddings, labels)
    torch.testing.assert_close(outcome.loss, plain / sigma**2 + torch.log(sigma))
    assert outcome.uncertainty.item() == pytest.approx(1.7**2)
    assert not outcome.uncertainty.requires_grad
    # Its minimum over sigma: sigma^2 = 2 L.
    with torch.no_grad():
        objective.log_variances[1].copy_((2 * plain).log())
    (slope,) = torch.autograd.grad(
        objective(1, embeddings, labels).loss, [objective.log_variances[1]]
    )
    assert slope.item() == pytest.approx(0, abs=1e-5)
    assert {id(p) for p in objective.shared_parameters()} == {id(objective.classifier.weight)}


def test_weights_by_uncertainty_follow_it_and_average_to_one(make_task):
    loss = evidence(make_task().options)
    objective = objective_of("sfsc-weighted")["WeightedByUncertainty"](3, 8, 4, loss)
    embeddings, labels = batch()
    lengths = (0.05, 1.0, 4.0)  # the longer the embeddings, the more evidence
    for _ in range(150):  # the running means settle
        outcomes = [objective(i, length * embeddings, labels) for i, length in enumerate(lengths)]
    prototypes = objective.classifier.weight.detach()
    expected = [
        evidential_loss(length * embeddings @ prototypes.T, labels, 0.5) for length in lengths
    ]
    weights = torch.stack(
        [mine.loss / theirs for mine, (theirs, _) in zip(outcomes, expected, strict=True)]
    )
    u = torch.stack([uncertainty for _, uncertainty in expected])
    torch.testing.assert_close(weights, u / u.mean(), rtol=1e-3, atol=1e-3)
    assert weights.mean().item() == pytest.approx(1, abs=1e-3)
    assert weights[0] > weights[1] > weights[2]
    assert "uncertainties" in objective.state_dict()  # so that a resumed run goes on with them
