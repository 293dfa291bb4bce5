"""The field's methods: each one's loss or map against a formula of its own."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from running import after, running, train
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import Ridge

from sfsc.embedding.embed import embed_images
from sfsc.files import InputError
from sfsc.method import describe, find, names
from sfsc.switchable import maps, submodel, translation
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.member import Member
from sfsc.training.objectives import Problem
from sfsc.training.scalarisation import Famo, TorchJD

B, D, K, SCALE = 12, 8, 4, 16.0


def of_file(method, name):
    return find(method).train.__globals__[name]


@pytest.fixture
def drawn():
    random = torch.Generator().manual_seed(0)
    f, g = (F.normalize(torch.randn(B, D, generator=random), dim=1) for _ in range(2))
    labels = torch.arange(B) % K
    batch = Batch(torch.zeros(B, 3, 4, 4), labels, torch.arange(B), 30, 100, random)
    return f.requires_grad_(), g, batch


def imitation(method, name, drawn, **options):
    """An objective whose teacher says g for every batch, and the term that it adds."""
    f, g, batch = drawn
    tie = SimpleNamespace(
        network=lambda images: g,
        embeddings=g,
        labels=batch.labels,
        means=F.normalize(torch.stack([g[batch.labels == k].mean(0) for k in range(K)]), dim=1),
    )
    chosen = find(method).options(**options)
    objective = of_file(method, name)(Problem(1, D, K, SCALE), tie, chosen)
    objective.begin(batch)
    outcome = objective(0, f, batch, {})
    own = F.cross_entropy(SCALE * f @ objective.prototypes(0).T, batch.labels)
    torch.testing.assert_close(outcome.loss - own, outcome.records["imitation"])
    assert outcome.loss.requires_grad
    return objective, outcome.records["imitation"].item()


def test_every_method_has_a_file_with_its_texts():
    assert {"chance", "sfsc", "bct", "ract", "prunnet"} <= set(names())
    for name in names():
        method, described = find(name), describe(name)
        assert method.summary == described.summary
        assert method.paper == described.paper
        assert method.families == described.families
        assert method.varies == described.varies
        if described.varies:
            assert described.varies.of in names()


def test_regression_is_the_squared_distance_and_slack_forgives(drawn):
    f, g, _ = drawn
    distances = np.linalg.norm((f - g).detach().numpy(), axis=1)
    _, term = imitation("l2", "Regression", drawn, weight=3.0)
    assert term == pytest.approx(3 * np.mean(distances**2), rel=1e-5)
    _, term = imitation("l2", "Regression", drawn, weight=3.0, slack=1.2)
    assert term == pytest.approx(3 * np.mean(np.maximum(distances - 1.2, 0)), rel=1e-5)


def test_ract_is_a_softmax_over_the_positive_and_the_hardest_negatives(drawn):
    f, g, batch = drawn
    _, term = imitation("ract", "Contrast", drawn, temperature=0.2, negatives=3, weight=2.0)
    losses, f = [], f.detach()
    for i in range(B):
        others = [j for j in range(B) if batch.labels[j] != batch.labels[i]]
        old = sorted((float(f[i] @ g[j]) for j in others), reverse=True)[:3]
        new = sorted((float(f[i] @ f[j]) for j in others), reverse=True)[:3]
        positive = math.exp(float(f[i] @ g[i]) / 0.2)
        losses.append(-math.log(positive / (positive + sum(math.exp(s / 0.2) for s in old + new))))
    assert term == pytest.approx(2 * np.mean(losses), rel=1e-4)


def test_advbct_is_the_distance_beyond_the_elastic_radius_and_a_misled_discriminator(drawn):
    f, g, batch = drawn
    objective, term = imitation("advbct", "Adversarial", drawn, threshold=0.1, adversarial=0.5)
    means = objective.tie.means
    radii = [
        max(float((g[i] - means[k]).norm()) for i in range(B) if batch.labels[i] == k)
        for k in range(K)
    ]
    beyond = []
    for i in range(B):
        k = int(batch.labels[i])
        beyond.append(max((f[i] - means[k]).norm().item() - (0.5 * radii[k] + 0.5 * 0.1), 0))
    violators = [value for value in beyond if value > 0]
    assert violators
    logits = objective.discriminator(torch.cat([f, g]))
    told_apart = F.cross_entropy(logits, torch.tensor([0] * B + [1] * B)).item()
    assert term == pytest.approx(np.mean(violators) + 0.5 * 0.7 * told_apart, rel=1e-4)
    # The embeddings' gradient of that part is reversed, by 2 / (1 + exp(-10 p)) - 1.
    (straight,) = torch.autograd.grad(
        F.cross_entropy(logits, torch.tensor([0] * B + [1] * B)), f, retain_graph=True
    )
    reverse = of_file("advbct", "_Reversed").apply
    strength = 2 / (1 + math.exp(-3)) - 1
    again = objective.discriminator(torch.cat([reverse(f, strength), g]))
    (reversed_,) = torch.autograd.grad(F.cross_entropy(again, torch.tensor([0] * B + [1] * B)), f)
    torch.testing.assert_close(reversed_, -strength * straight)


@pytest.mark.parametrize("shared", [False, True])
def test_matryoshka_is_the_mean_over_leading_dimensions(drawn, shared):
    f, _, batch = drawn
    options = find("matryoshka").options(shared=shared)
    objective = of_file("matryoshka", "Nested")(Problem(1, D, K, SCALE), [2, 5, D], options)
    expected = []
    for place, dim in enumerate((2, 5, D)):
        W = objective.W[0][:, :dim] if shared else objective.W[place]
        part = f[:, :dim] / f[:, :dim].norm(dim=1, keepdim=True)
        expected.append(F.cross_entropy(SCALE * part @ W.T, batch.labels))
    torch.testing.assert_close(objective(0, f, batch, {}).loss, sum(expected) / 3)


def test_corners_of_a_simplex_are_equally_far_apart():
    for dim in (1, 2, 5, 63):
        corners = of_file("cores", "simplex")(dim)
        assert corners.shape == (dim + 1, dim)
        products = corners @ corners.T
        expected = torch.full_like(products, -1 / dim).fill_diagonal_(1)
        torch.testing.assert_close(products, expected, atol=1e-5, rtol=0)


def test_cores_says_how_many_dimensions_it_needs(make_task):
    with pytest.raises(InputError, match=r"need model\.embedding_dim of at least 19"):
        of_file("cores", "Stationary")(Problem(1, 8, 20, SCALE))


def test_the_rotation_is_scipys(drawn):
    f, g, _ = drawn
    found = maps.rotation(f.detach(), g)
    expected, _ = orthogonal_procrustes(f.detach().numpy(), g.numpy())
    np.testing.assert_allclose(found.layers[0].weight.detach().numpy().T, expected, atol=1e-5)


def test_the_affine_map_is_scikit_learns_ridge(drawn):
    f, g, _ = drawn
    found = maps.affine(f.detach(), g, 0.01)
    expected = Ridge(0.01 * B).fit(f.detach().numpy(), g.numpy())
    layer = found.layers[0]
    np.testing.assert_allclose(layer.weight.detach(), expected.coef_, atol=1e-4)
    np.testing.assert_allclose(layer.bias.detach(), expected.intercept_, atol=1e-4)


def test_prunnet_keeps_the_highest_scores_and_teaches_them():
    keep = of_file("prunnet", "_kept")
    weight = torch.randn(4, 5, requires_grad=True)
    scores = torch.randn(4, 5, requires_grad=True)
    kept = keep(weight, scores, 6)
    highest = sorted(scores.flatten().tolist(), reverse=True)[:6]
    expected = torch.where(scores >= highest[-1], weight, torch.zeros_like(weight))
    assert torch.equal(kept, expected)
    gradient = torch.randn(4, 5)
    kept.backward(gradient)
    assert torch.equal(weight.grad, torch.where(scores >= highest[-1], gradient, 0.0))
    assert torch.equal(scores.grad, gradient * weight)


def test_prunnet_weighs_what_the_projection_left():
    gradients = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    gram = (gradients @ gradients.T)[None]
    weights = of_file("prunnet", "weighed")(gram, torch.Generator().manual_seed(0))
    projected = [np.array([0.5, 0.5]), np.array([0.0, 1.0])]
    originals = gradients.numpy()
    shares = []
    for own, left in zip(originals, projected, strict=True):
        cosine = own @ left / np.linalg.norm(own) / np.linalg.norm(left)
        shares.append(math.sqrt((1 + cosine) / 2))
    shares = np.array(shares) * 2 / sum(shares)
    expected = sum(share * left for share, left in zip(shares, projected, strict=True))
    np.testing.assert_allclose((weights[0] @ gradients).numpy(), expected, atol=1e-6)


def models_of(task):
    return {path.name for path in task.models.iterdir()}


def of_dims(make_task, *dims, **more):
    spec = make_task().members[0].spec
    from dataclasses import replace

    members = tuple(Member(f"d{dim}", replace(spec, embedding_dim=dim)) for dim in dims)
    return make_task(members=members, **more)


def test_matryoshka_saves_leading_dimensions_and_how_pairs_meet(make_task):
    task = of_dims(make_task, 2, 5, 8, epochs=1)
    train(task, "matryoshka")
    cuts = {
        f"{a}.{side}-for-{b}.safetensors"
        for a, b in (("d5", "d2"), ("d8", "d2"), ("d8", "d5"))
        for side in ("query", "gallery")
    }
    assert models_of(task) == {"d2.safetensors", "d5.safetensors", "d8.safetensors"} | cuts
    images, device = task.train_set.images, torch.device("cpu")
    found = {
        dim: embed_images(images, submodel.load(task.models / f"d{dim}.safetensors"), device)
        for dim in (2, 5, 8)
    }
    for dim in (2, 5):
        expected = found[8][:, :dim] / np.linalg.norm(found[8][:, :dim], axis=1, keepdims=True)
        np.testing.assert_allclose(found[dim], expected, atol=1e-5)
    cut = translation.load(task.models / "d8.query-for-d5.safetensors")
    np.testing.assert_allclose(
        cut(torch.from_numpy(found[8])).detach().numpy(), found[5], atol=1e-5
    )


@pytest.mark.parametrize("method", ["fct", "procrustes", "affine"])
def test_adapters_bring_every_pair_to_the_last_ones_space(make_task, method):
    task = make_task(widths=(0.25, 0.5, 1.0), epochs=4)
    train(task, method)
    device, images = torch.device("cpu"), task.train_set.images
    names = ("w025", "w050", "w100")
    found = {
        name: torch.from_numpy(
            embed_images(images, submodel.load(task.models / f"{name}.safetensors"), device)
        )
        for name in names
    }
    target = found["w100"]
    for name in ("w025", "w050"):
        adapted = translation.load(task.models / f"{name}.gallery-for-w100.safetensors")
        before = (found[name] * target).sum(dim=1).mean()
        after_it = (adapted(found[name]) * target).sum(dim=1).mean()
        assert after_it > max(before + 0.2, 0.7)
    assert not (task.models / "w100.gallery-for-w025.safetensors").exists()


@pytest.mark.parametrize(
    ("method", "stop"),
    [("fct", 3), ("fct", 9), ("ract", 3), ("ract", 9), ("bt2", 15), ("famo", 3), ("prunnet", 3)],
)
def test_two_stages_and_a_frozen_teacher_resume_to_the_same_bytes(make_task, method, stop):
    whole, broken = make_task("a", epochs=1), make_task("b", epochs=1, checkpoint_seconds=1e-9)
    train(whole, method)
    with pytest.raises(KeyboardInterrupt):
        train(broken, method, after(stop))
    train(broken, method)
    assert models_of(broken) == models_of(whole)
    for path in whole.models.iterdir():
        assert path.read_bytes() == (broken.models / path.name).read_bytes()


def test_a_teacher_of_another_training_is_not_gone_on_with(make_task):
    """The student's checkpoint counts only with the teacher that it was made with."""
    expected = make_task("a", epochs=1)
    train(expected, "ract")
    task = make_task("b", epochs=1, checkpoint_seconds=1e-9, learning_rate=0.002)
    with pytest.raises(KeyboardInterrupt):
        train(task, "ract", after(8))
    again = make_task("b", epochs=1, checkpoint_seconds=1e-9)
    train(again, "ract")
    for path in expected.models.iterdir():
        assert path.read_bytes() == (again.models / path.name).read_bytes()


def generations(make_task, **more):
    spec = make_task().members[0].spec
    members = (
        Member("old", spec, 0.5, classes=(0.0, 0.5)),
        Member("new", spec, 0.5, classes=(0.0, 1.0)),
    )
    return make_task(members=members, scenario="generations", **more)


def test_a_generation_is_tied_to_the_one_before_and_to_means_of_classes_it_did_not_know(make_task):
    from sfsc.training.family import Family
    from sfsc.training.processes import Processes
    from sfsc.training.upgrade import Tie

    task = running(generations(make_task, epochs=1), "bct")
    family = Family(task, Processes(), torch.device("cpu"))
    old, new = family.members
    assert family.ties() == [(old, None), (new, old)]
    known = family.classes(old)
    assert len(known) == 2
    assert family.classes(new).tolist() == [0, 1, 2, 3]
    fitted = family.fit_alone(old, of_file("bct", "PrivateClassifiers"))
    tie = Tie(family, new, old, fitted)
    rows = fitted.objective.prototypes(0)
    assert rows.shape == (2, 8)
    found = tie.prototypes()
    embeddings = family.embed(fitted.frozen(old))
    for label in range(4):
        if label in known:
            assert torch.equal(found[label], rows[known.tolist().index(label)])
        else:
            mean = embeddings[task.train_set.labels == label].mean(0)
            mean *= rows.norm(dim=1).mean().item() / np.linalg.norm(mean)
            np.testing.assert_allclose(found[label], mean, rtol=1e-4, atol=1e-5)


def test_members_of_different_data_are_not_trained_together(make_task):
    with pytest.raises(InputError, match="old, new see different data"):
        train(generations(make_task, epochs=1), "shared-classifier")


@pytest.mark.parametrize("form", ["contrastive", "contrastive+", "triplet"])
def test_aml_compares_the_model_with_its_teachers_gallery(drawn, form):
    f, g, batch = drawn
    _, term = imitation("aml", "Asymmetric", drawn, form=form, margin=0.9, weight=2.0)
    distance = torch.cdist(f.detach().double(), g.double()).numpy()
    y = batch.labels.numpy()
    total, count = 0.0, 0
    for i in range(B):
        positives = [i] if form == "contrastive+" else [j for j in range(B) if y[j] == y[i]]
        negatives = [j for j in range(B) if y[j] != y[i]]
        if form == "triplet":
            for p in positives:
                for n in negatives:
                    total += max(distance[i, p] - distance[i, n] + 0.9, 0)
                    count += 1
        else:
            total += sum(distance[i, p] ** 2 for p in positives) / 2
            total += sum(max(0.9 - distance[i, n], 0) ** 2 for n in negatives) / 2
    assert term == pytest.approx(2 * total / (count or B), rel=1e-4)


def test_raml_is_three_squared_errors(drawn):
    f, g, _ = drawn
    _, term = imitation("raml", "Relations", drawn, asymmetric=0.3, symmetric=0.7, weight=2.0)
    x, y = f.detach().double().numpy(), g.double().numpy()
    own = np.mean((1 - np.sum(x * y, axis=1)) ** 2)
    expected = own + 0.3 * np.mean((x @ y.T - y @ y.T) ** 2)
    expected += 0.7 * np.mean((x @ x.T - y @ y.T) ** 2)
    assert term == pytest.approx(2 * expected, rel=1e-4)


def test_csd_keeps_the_similarities_to_the_teachers_neighbours(drawn):
    f, g, _ = drawn
    _, term = imitation(
        "csd", "Context", drawn, neighbours=4, teacher_temperature=0.3, temperature=0.5
    )
    x, y = f.detach().double().numpy(), g.double().numpy()
    losses = []
    for i in range(B):
        nearest = np.argsort(-(y[i] @ y.T))[:4]
        p = np.exp(y[i] @ y[nearest].T / 0.3)
        q = np.exp(x[i] @ y[nearest].T / 0.5)
        p, q = p / p.sum(), q / q.sum()
        losses.append(np.sum(p * np.log(p / q)))
    assert term == pytest.approx(np.mean(losses), rel=1e-4)


def test_d3still_weighs_reversed_orders_apart(drawn):
    f, g, _ = drawn
    _, term = imitation("d3still", "Differences", drawn, feature=3.0, hard=5.0, easy=2.0, nearest=4)
    x, y = f.detach().double().numpy(), g.double().numpy()
    hard, easy = [], []
    for i in range(B):
        nearest = np.argsort(-(y[i] @ y.T))[:4]
        of_teacher, own = y[i] @ y[nearest].T, x[i] @ y[nearest].T
        for a in range(4):
            for b in range(4):
                expected, found = of_teacher[a] - of_teacher[b], own[a] - own[b]
                (hard if expected * found < 0 else easy).append(abs(found - expected))
    feature = np.mean(1 - np.sum(x * y, axis=1))
    expected = 3 * feature + 5 * np.mean(hard) + 2 * np.mean(easy)
    assert term == pytest.approx(expected, rel=1e-3)


def test_rkd_is_blind_to_rotations(drawn):
    """Relations say nothing of where a space lies: why it is a negative control."""
    f, g, batch = drawn
    rotation = torch.linalg.qr(torch.randn(D, D, generator=batch.generator))[0]
    _, term = imitation("rkd", "Relational", (g @ rotation, g, batch))
    assert term == pytest.approx(0, abs=1e-3)
    _, term = imitation("rkd", "Relational", drawn, angles=0.0, distances=3.0)
    apart = [torch.cdist(each.double(), each.double()) for each in (f.detach(), g)]
    means = [each / each[each > 1e-3].mean() for each in apart]
    assert term == pytest.approx(3 * F.smooth_l1_loss(*means).item(), rel=1e-3)


def test_kd_is_the_divergence_of_softened_predictions(drawn):
    f, g, batch = drawn
    W = torch.randn(K, D, generator=batch.generator)
    tie = SimpleNamespace(network=lambda images: g, prototypes=lambda: W)
    objective = of_file("kd", "SoftLabels")(Problem(1, D, K, SCALE), tie, find("kd").options())
    objective.begin(batch)
    term = objective(0, f, batch, {}).records["imitation"]
    p = (SCALE * g @ W.T / 2).softmax(1)
    q = (SCALE * f @ objective.prototypes(0).T / 2).softmax(1)
    torch.testing.assert_close(term, 4 * (p * (p / q).log()).sum(1).mean().detach())


def test_nccl_weighs_positives_by_what_the_teacher_thinks(drawn):
    f, g, batch = drawn
    options = {"queue": 100, "temperature": 0.4, "weight": 2.0}
    _, term = imitation("nccl", "Consensus", drawn, **options)
    losses = []
    for i in range(B):
        shares = (f[i].detach() @ g.T / 0.4).log_softmax(0)
        weights = (g[i] @ g.T + 1) / 2 * (batch.labels == batch.labels[i])
        losses.append(-(weights @ shares) / weights.sum())
    assert term == pytest.approx(2 * torch.stack(losses).mean().item(), rel=1e-4)


def test_unibct_smooths_within_a_class_and_starts_late(drawn):
    _, g, _ = drawn
    options = find("unibct").options(smoothing=0.8, temperature=0.3)
    found = of_file("unibct", "refined")(g, options).double().numpy()
    y = g.double().numpy()
    A = np.exp(y @ y.T / 0.3)
    np.fill_diagonal(A, 0)
    A /= A.sum(axis=1, keepdims=True)
    # The sum of the series (1 - a) (F + a A F + a^2 A^2 F + ...).
    expected, power = np.zeros_like(y), y.copy()
    for order in range(200):
        expected += 0.2 * 0.8**order * power
        power = A @ power
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_arcface_adds_the_margin_to_the_angle_and_none_is_softmax():
    from sfsc.training.margins import arcface

    f = F.normalize(torch.randn(B, D, dtype=torch.float64), dim=1)
    W, labels = torch.randn(K, D, dtype=torch.float64), torch.arange(B) % K
    cosines = f @ F.normalize(W, dim=1).T
    torch.testing.assert_close(arcface(W, f, labels, 8.0, 0.0), 8 * cosines)
    found = arcface(W, f, labels, 8.0, 0.3)
    for i in range(B):
        for k in range(K):
            angle = math.acos(cosines[i, k])
            if k == labels[i] and angle < math.pi - 0.3:
                assert found[i, k].item() == pytest.approx(8 * math.cos(angle + 0.3), abs=1e-6)
            elif k != labels[i]:
                assert found[i, k].item() == pytest.approx(8 * math.cos(angle), abs=1e-6)


def test_mixbct_replaces_what_is_near_its_class(drawn):
    f, g, batch = drawn
    means = F.normalize(torch.stack([g[batch.labels == k].mean(0) for k in range(K)]), dim=1)
    tie = SimpleNamespace(network=lambda images: g, embeddings=g, labels=batch.labels, means=means)
    for share, expected in ((0.0, f), (1.0, g)):
        options = find("mixbct").options(share=share, dropped=0.0, margin=0.0, scale=8.0)
        objective = of_file("mixbct", "Mixed")(Problem(1, D, K, SCALE), tie, options)
        objective.begin(batch)
        outcome = objective(0, f, batch, {})
        W = F.normalize(objective.classifiers[0].weight, dim=1)
        own = F.cross_entropy(8 * expected @ W.T, batch.labels)
        torch.testing.assert_close(outcome.loss, own, rtol=1e-4, atol=1e-5)
    options = find("mixbct").options(share=1.0, dropped=0.25)
    objective = of_file("mixbct", "Mixed")(Problem(1, D, K, SCALE), tie, options)
    objective.begin(batch)
    assert objective(0, f, batch, {}).records["replaced"] == pytest.approx(0.75, abs=0.01)


def test_lce_aligns_prototypes_and_keeps_boundaries(drawn):
    f, g, batch = drawn
    means = F.normalize(torch.stack([g[batch.labels == k].mean(0) for k in range(K)]), dim=1)
    tie = SimpleNamespace(embeddings=g, labels=batch.labels, means=means)
    options = find("lce").options(margin=0.0, alignment=10.0, boundary=3.0)
    objective = of_file("lce", "Aligned")(Problem(1, D, K, SCALE), tie, options)
    W = F.normalize(objective.classifiers[0].weight, dim=1)
    least = [
        min(float(g[i] @ means[k]) for i in range(B) if batch.labels[i] == k) for k in range(K)
    ]
    outside = np.mean(
        [
            max(least[k] - float(f[i].detach() @ means[k]), 0)
            for i, k in enumerate(batch.labels.tolist())
        ]
    )
    expected = F.cross_entropy(16 * f @ W.T, batch.labels)
    expected = expected + 10 * (W - means).square().mean() + 3 * outside
    torch.testing.assert_close(objective(0, f, batch, {}).loss, expected.float())


def test_hvs_adds_the_gallery_models_classifier(drawn):
    f, _, batch = drawn
    teacher = torch.randn(K, D, generator=batch.generator)
    options = find("hvs").options(margin=0.0, weight=0.5)
    objective = of_file("hvs", "Heterogeneous")(Problem(1, D, K, SCALE), teacher, options)
    W = F.normalize(objective.classifiers[0].weight, dim=1)
    expected = F.cross_entropy(D**0.5 * f @ W.T, batch.labels)
    expected = expected + 0.5 * F.cross_entropy(SCALE * f @ teacher.T, batch.labels)
    torch.testing.assert_close(objective(0, f, batch, {}).loss, expected)


def test_us_nets_teaches_in_place_and_trains_a_sandwich(make_task):
    objective = of_file("us-nets", "InPlace")(Problem(3, D, K, SCALE))
    f = F.normalize(torch.randn(B, D), dim=1)
    batch = Batch(torch.zeros(B, 3, 4, 4), torch.arange(B) % K, torch.arange(B), 0, 1, None)
    logits = SCALE * f @ objective.classifier.weight.T
    torch.testing.assert_close(
        objective(2, f, batch, {}).loss, F.cross_entropy(logits, batch.labels)
    )
    soft = logits.softmax(1).detach()
    other = F.normalize(torch.randn(B, D), dim=1)
    expected = -(soft * (SCALE * other @ objective.classifier.weight.T).log_softmax(1)).sum(1)
    torch.testing.assert_close(objective(0, other, batch, {}).loss, expected.mean())
    import pandas as pd

    task = make_task(widths=(0.25, 0.5, 0.75, 1.0), epochs=2)
    train(task, "us-nets", members_per_step=3)
    log = pd.read_parquet(task.records / "log.parquet")
    trained = log[log["quantity"] == "loss"].groupby("model").size()
    assert trained["w025"] == trained["w100"] == 12
    assert trained["w050"] + trained["w075"] == 12


@pytest.mark.parametrize("aggregator", ["MGDA", "AlignedMTL", "DualProj", "PCGrad", "Random"])
def test_torchjds_aggregators_train(make_task, aggregator):
    task = make_task(epochs=1)
    train(task, "sfsc-torchjd", aggregator=aggregator)
    assert models_of(task) == {"w050.safetensors", "w100.safetensors"}


def test_swapped_labels_are_those_of_all_but_the_last():
    swapped = of_file("swapped-labels", "SwappedLabels")(Problem(3, 8, 6, 4.0), 0.5)
    labels = torch.tensor([0, 1, 2, 5])
    embeddings = F.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    batch = Batch(torch.empty(4), labels, labels, 0, 1, torch.Generator())
    scores = 4 * embeddings @ swapped.prototypes(0).T
    for member, seen in ((0, [1, 0, 2, 5]), (1, [1, 0, 2, 5]), (2, [0, 1, 2, 5])):
        loss = swapped(member, embeddings, batch, {}).loss
        expected = F.cross_entropy(scores, torch.tensor(seen))
        torch.testing.assert_close(loss.detach(), expected)


def test_bt2_turns_to_the_free_model_and_stays_with_the_teacher(drawn):
    f, g, batch = drawn
    random = torch.Generator().manual_seed(1)
    free = F.normalize(torch.randn(B, D, generator=random), dim=1)
    W_old = torch.randn(K, D, generator=random)
    tie = SimpleNamespace(network=lambda images: g, prototypes=lambda: W_old)
    options = find("bt2").options(own=2.0, classifier=3.0, teacher=4.0)
    objective = of_file("bt2", "BasisTransformation")(
        Problem(1, D, K, SCALE), tie, options, lambda images: free
    )
    objective.begin(batch)

    def expected(R):
        own = 1 - F.cosine_similarity(f @ R.T, free).mean()
        old = 1 - F.cosine_similarity(f, g).mean()
        return 2 * own + 3 * F.cross_entropy(SCALE * f @ W_old.T, batch.labels) + 4 * old

    term = objective(0, f, batch, {}).records["imitation"]
    torch.testing.assert_close(term, expected(torch.eye(D)).detach())
    turned = torch.linalg.qr(torch.randn(D, D, generator=random))[0]
    objective.rotation.weight = turned
    term = objective(0, f, batch, {}).records["imitation"]
    torch.testing.assert_close(term, expected(turned).detach())
    # Whatever a step of the optimiser does, it stays a rotation.
    optimiser = torch.optim.SGD(objective.rotation.parameters(), lr=1.0)
    objective(0, f, batch, {}).loss.backward()
    optimiser.step()
    R = objective.rotation.weight
    torch.testing.assert_close(R @ R.T, torch.eye(D), atol=1e-5, rtol=0)


def test_ssp_is_the_divergence_between_places_among_centroids(drawn):
    f, g, _ = drawn
    objective, term = imitation("ssp", "Structure", drawn, parts=2, scale=5.0, weight=2.0)
    C = objective.centroids
    assert C.shape == (2, B // 4, D // 2)
    apart = []
    for i in range(B):
        for part in range(2):
            cut = slice(part * D // 2, (part + 1) * D // 2)
            mine, wanted = (
                torch.softmax(5 * C[part] @ (e[i, cut] / e[i, cut].norm()), dim=0) for e in (f, g)
            )
            apart.append(float((wanted * (wanted / mine).log()).sum()))
    assert term == pytest.approx(2 * np.mean(apart), rel=1e-4)
    with pytest.raises(InputError, match="cannot be cut into 3 equal parts"):
        imitation("ssp", "Structure", drawn, parts=3)


def test_famo_is_torchjds_with_the_next_batch_as_the_one_after():
    from torchjd.scalarization import FAMO

    ours, theirs = Famo(3, 0.025, 0.001), FAMO(3)
    random = torch.Generator().manual_seed(0)
    for step in range(20):
        losses = torch.rand(3, generator=random) + 0.1
        if step:
            theirs.update(losses)
        asked = losses.clone().requires_grad_()
        (weights,) = torch.autograd.grad(theirs(asked), asked)
        ours.observe(losses)
        found = ours(torch.eye(3, dtype=torch.float64)[None], random)
        torch.testing.assert_close(found[0].float(), 3 * weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["GeometricMean", "Mean", "Random"])
def test_a_scalarisation_weighs_by_its_derivative(name):
    losses = torch.tensor([0.5, 1.0, 4.0])
    scalarised = TorchJD(name)
    scalarised.observe(losses)
    gram = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    weights = scalarised(gram, torch.Generator().manual_seed(0))
    assert weights.shape == (2, 3)
    expected = {"GeometricMean": losses.prod() ** (1 / 3) / losses, "Mean": torch.ones(3)}
    if name in expected:
        torch.testing.assert_close(weights[0].float(), expected[name])
    assert (weights > 0).all()


def test_the_teacher_of_bct_is_chosen(make_task):
    task = running(make_task(), "bct")
    first, *others = task.members
    family = Family.__new__(Family)
    family.task, family.members = task, task.members
    last = task.members[-1]
    assert family.ties("first") == [(first, None), *((each, first) for each in others)]
    assert family.ties("last")[0] == (last, None) == family.ties()[0]
    assert family.ties("before")[1:] == list(zip(others, task.members[:-1], strict=True))
