"""What the objectives hold, learn and weigh."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from running import train

from sfsc.method import find
from sfsc.profile import Margin
from sfsc.training import family
from sfsc.training.batch import Batch
from sfsc.training.objectives import (
    CrossEntropy,
    Evidence,
    EvidenceOptions,
    FrozenClassifier,
    PrivateClassifiers,
    Problem,
    SharedClassifier,
)
from sfsc.training.uncertainty import evidential_loss

SCALE = 16


def problem(members=1):
    return Problem(members, 8, 4, SCALE)


def drawn(seed=0, rows=6, dimension=8, classes=4):
    """Unit embeddings and a batch with labels."""
    random = torch.Generator().manual_seed(seed)
    embeddings = F.normalize(torch.randn(rows, dimension, generator=random), dim=1)
    labels = torch.randint(classes, (rows,), generator=random)
    images = torch.zeros(rows, 3, 4, 4)
    return embeddings, Batch(images, labels, torch.arange(rows), 0, 1, random)


def of_file(method, name):
    """What a baseline's file defines."""
    return find(method).train.__globals__[name]


def evidence(options=None):
    return partial(Evidence, options or EvidenceOptions())


@pytest.fixture
def steps(monkeypatch):
    """Every Step that a training makes."""
    made = []
    original = family.Step

    def step(*arguments):
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(family, "Step", step)
    return made


def test_private_classifiers_have_losses_of_their_own_and_a_shared_one_has_one():
    learning = EvidenceOptions(learn_temperature=True, learn_offset=True)
    private = PrivateClassifiers(problem(3), evidence(learning))
    assert len(list(private.parameters())) == 3 * 3
    assert list(private.shared_parameters()) == []
    shared = SharedClassifier(problem(3), evidence(learning))
    assert list(shared.shared_parameters()) == list(shared.parameters())
    assert len(list(shared.parameters())) == 3
    plain = SharedClassifier(problem(3), evidence())
    assert [p.shape for p in plain.parameters()] == [(4, 8)]


def test_temperature_and_offset_change_the_logits():
    embeddings, batch = drawn()
    prototypes, labels = torch.eye(4, 8), batch.labels
    logits = SCALE * embeddings[:, :4]
    loss = Evidence(EvidenceOptions(learn_temperature=True, learn_offset=True), problem())

    def both(outcome):
        return outcome.loss, outcome.records["uncertainty"]

    expected = evidential_loss(logits, labels, 0.5)
    torch.testing.assert_close(both(loss(prototypes, embeddings, labels)), expected)
    with torch.no_grad():
        loss.log_temperature += math.log(3)
        loss.offset -= 2
    expected = evidential_loss(3 * logits - 2, labels, 0.5)
    torch.testing.assert_close(both(loss(prototypes, embeddings, labels)), expected)


@pytest.mark.parametrize("method", ["sfsc", "independent-evidential"])
def test_temperature_and_offset_learn(make_task, steps, method):
    train(make_task(epochs=1), method, learn_temperature=True, learn_offset=True)
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
    train(make_task(epochs=1, weight_decay=10.0), method)
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
    embeddings, batch = drawn()
    teacher = torch.randn(4, 8)
    objective = of_file("bct", "BackwardCompatible")(problem(), teacher)
    own = objective.prototypes(0)
    teacher_before = teacher.clone()
    expected = sum(
        F.cross_entropy(SCALE * embeddings @ each.T, batch.labels) for each in (own, teacher)
    )
    torch.testing.assert_close(objective(0, embeddings, batch, {}).loss, expected)
    teacher += 1  # the objective holds a copy
    assert torch.equal(objective.influence.teacher, teacher_before)


def test_cross_entropy_records_nothing():
    embeddings, batch = drawn()
    outcome = CrossEntropy(problem())(torch.eye(4, 8), embeddings, batch.labels)
    expected = F.cross_entropy(SCALE * embeddings[:, :4], batch.labels)
    torch.testing.assert_close(outcome.loss, expected)
    assert not outcome.records


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_margin_and_smoothing_are_those_of_a_naive_loop(kind, shared):
    embeddings, batch = drawn()
    asked = Problem(1, 8, 4, SCALE, Margin(kind, 10.0, 0.3), label_smoothing=0.2)
    objective = (SharedClassifier if shared else PrivateClassifiers)(asked)
    losses = []
    for x, y in zip(embeddings.tolist(), batch.labels.tolist(), strict=True):
        logits = []
        for k, w in enumerate(objective.prototypes(0).tolist()):
            cosine = sum(a * b for a, b in zip(x, w, strict=True)) / math.hypot(*w)
            if k == y:
                right = {"arcface": math.cos(math.acos(cosine) + 0.3), "cosface": cosine - 0.3}
                cosine = right[kind]
            logits.append(10 * cosine)
        total = sum(map(math.exp, logits))
        targets = [0.2 / 4 + 0.8 * (k == y) for k in range(4)]
        losses.append(
            -sum(
                t * math.log(math.exp(logit) / total)
                for t, logit in zip(targets, logits, strict=True)
            )
        )
    found = objective(0, embeddings, batch, {}).loss.item()
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
def test_a_margin_of_0_is_the_softmax_of_cosines_to_the_bit(kind):
    embeddings, batch = drawn()
    embeddings[0], prototypes = torch.eye(8)[0], 3 * torch.eye(4, 8)  # a cosine of 1
    asked = Problem(1, 8, 4, SCALE, Margin(kind, 10.0, 0.0))
    found = CrossEntropy(asked)(prototypes, embeddings, batch.labels).loss
    logits = 10.0 * F.linear(embeddings, F.normalize(prototypes, dim=1))
    assert torch.equal(found, F.cross_entropy(logits, batch.labels))


def test_evidence_has_no_margin_and_frozen_classifiers_have_one():
    embeddings, batch = drawn()
    plain, with_margin = Problem(1, 8, 4, SCALE), Problem(1, 8, 4, SCALE, Margin("cosface"), 0.1)
    teacher = torch.randn(4, 8)

    def loss(asked, of=CrossEntropy):
        return FrozenClassifier(asked, teacher, of)(0, embeddings, batch, {}).loss

    assert torch.equal(loss(plain, evidence()), loss(with_margin, evidence()))
    directions = F.normalize(teacher, dim=1)
    expected = F.cross_entropy(
        30 * (embeddings @ directions.T - 0.3 * F.one_hot(batch.labels, 4)),
        batch.labels,
        label_smoothing=0.1,
    )
    torch.testing.assert_close(loss(with_margin), expected)


@pytest.mark.parametrize("method", ["sfsc-plain", "bct", "us-nets", "kd"])
def test_methods_train_with_a_margin(make_task, steps, method):
    train(make_task(epochs=1, margin=Margin("arcface", 8.0, 0.2), label_smoothing=0.1), method)
    for step in steps:
        assert all(p.isfinite().all() for p in step.modules.parameters())


def test_homoscedastic_losses_are_those_of_kendall():
    """With sigma^2 = exp(s): L / sigma^2 + log sigma (Kendall et al. 2018, equation 10)."""
    objective = of_file("sfsc-homoscedastic", "Homoscedastic")(problem(3))
    embeddings, batch = drawn()
    plain = F.cross_entropy(SCALE * embeddings @ objective.classifier.weight.T, batch.labels)
    torch.testing.assert_close(objective(1, embeddings, batch, {}).loss, plain)
    sigma = torch.tensor(1.7)
    with torch.no_grad():
        objective.log_variances[1].fill_(2 * math.log(1.7))
    outcome = objective(1, embeddings, batch, {})
    torch.testing.assert_close(outcome.loss, plain / sigma**2 + torch.log(sigma))
    uncertainty = outcome.records["uncertainty"]
    assert uncertainty.item() == pytest.approx(1.7**2)
    assert not uncertainty.requires_grad
    # Its minimum over sigma: sigma^2 = 2 L.
    with torch.no_grad():
        objective.log_variances[1].copy_((2 * plain).log())
    (slope,) = torch.autograd.grad(
        objective(1, embeddings, batch, {}).loss, [objective.log_variances[1]]
    )
    assert slope.item() == pytest.approx(0, abs=1e-5)
    assert {id(p) for p in objective.shared_parameters()} == {id(objective.classifier.weight)}


def test_weights_by_uncertainty_follow_it_and_average_to_one():
    objective = of_file("sfsc-weighted", "WeightedByUncertainty")(problem(3), evidence())
    embeddings, batch = drawn()
    lengths = (0.05, 1.0, 4.0)  # the longer, the more evidence
    for _ in range(150):  # the running means settle
        outcomes = [objective(i, each * embeddings, batch, {}) for i, each in enumerate(lengths)]
    prototypes = objective.classifier.weight.detach()
    expected = [
        evidential_loss(SCALE * each * embeddings @ prototypes.T, batch.labels, 0.5)
        for each in lengths
    ]
    weights = torch.stack(
        [mine.loss / theirs for mine, (theirs, _) in zip(outcomes, expected, strict=True)]
    )
    u = torch.stack([uncertainty for _, uncertainty in expected])
    torch.testing.assert_close(weights, u / u.mean(), rtol=1e-3, atol=1e-3)
    assert weights.mean().item() == pytest.approx(1, abs=1e-3)
    assert weights[0] > weights[1] > weights[2]
    assert "uncertainties" in objective.state_dict()  # so that a resumed run goes on with them
