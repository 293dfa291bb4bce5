"""What a method may ask of `Family.fit`: schedules, optimisers, turns, statistics measured anew."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from running import after
from safetensors.torch import load_file
from torch import nn

from sfsc.files import InputError
from sfsc.method import Method
from sfsc.options import NoOptions
from sfsc.profile import TrainingOptions
from sfsc.training.aggregation import total
from sfsc.training.family import train_family
from sfsc.training.objectives import SharedClassifier
from sfsc.training.schedule import learning_rate


def method(recipe):
    return Method(lambda family, options: recipe(family), "a test's")


def run(task, recipe, **how):
    train_family(replace(task, method=method(recipe), method_options=NoOptions()), **how)


def rates(steps=60, **options):
    options = TrainingOptions(1, 8, 0.5, warmup=0.1, **options)
    return np.array([learning_rate(step, steps, options) for step in range(steps)])


def test_schedules():
    rising = 0.5 * np.arange(1, 7) / 6
    for schedule in ("linear", "cosine", "steps"):
        np.testing.assert_allclose(rates(schedule=schedule)[:6], rising)
    left = (60 - np.arange(6, 60)) / 54
    np.testing.assert_allclose(rates()[6:], 0.5 * left)
    np.testing.assert_allclose(rates(schedule="cosine")[6:], 0.25 * (1 - np.cos(math.pi * left)))
    by_steps = rates(schedule="steps", milestones=(0.5, 0.75), decay=0.2)
    np.testing.assert_allclose(by_steps[6:30], 0.5)
    np.testing.assert_allclose(by_steps[30:45], 0.1)
    np.testing.assert_allclose(by_steps[45:], 0.02)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_trains_and_resumes_to_the_same_bytes(make_task, nesterov):
    options = {"optimiser": "sgd", "nesterov": nesterov, "schedule": "cosine", "weight_decay": 5e-4}
    whole = make_task("a", **options)
    broken = make_task("b", checkpoint_seconds=1e-9, **options)

    def recipe(family):
        family.fit_together(SharedClassifier)

    run(whole, recipe)
    with pytest.raises(KeyboardInterrupt):
        run(broken, recipe, before_step=after(7))
    run(broken, recipe)
    for path in whole.models.iterdir():
        assert path.read_bytes() == (broken.models / path.name).read_bytes()
    log = pd.read_parquet(whole.records / "log.parquet")
    losses = log[(log["quantity"] == "loss") & (log["model"] == "w100")]["value"].to_numpy()
    assert losses[-1] < losses[0]


class Remembering(nn.Module):
    """An aggregation with a memory: weights that depend on how often it was asked."""

    def __init__(self):
        super().__init__()
        self.register_buffer("asked", torch.zeros((), dtype=torch.float64))

    def forward(self, gram, generator):
        self.asked += 1
        return torch.ones(gram.shape[:2], dtype=gram.dtype) / self.asked


def test_an_aggregation_with_a_memory_resumes(make_task):
    whole, broken = make_task("a"), make_task("b", checkpoint_seconds=1e-9)

    def recipe(family):
        family.fit_together(SharedClassifier, Remembering())

    run(whole, recipe)
    with pytest.raises(KeyboardInterrupt):
        run(broken, recipe, before_step=after(5))
    run(broken, recipe)
    for path in whole.models.iterdir():
        assert path.read_bytes() == (broken.models / path.name).read_bytes()


def test_who_trains_in_a_step_and_who_came_earlier(make_task):
    seen = []

    class Watching(SharedClassifier):
        def begin(self, batch):
            seen.append([])

        def forward(self, member, embeddings, batch, earlier):
            assert not any(each.requires_grad for each in earlier.values())
            seen[-1].append((member, list(earlier)))
            return super().forward(member, embeddings, batch, earlier)

    def turns(step, random):
        return [2, int(torch.randint(2, (), generator=random))]

    task = make_task(widths=(0.5, 0.75, 1.0), epochs=2)
    run(task, lambda family: family.fit_together(Watching, total, turns=turns))
    assert len(seen) == 12
    assert {tuple(m for m, _ in step) for step in seen} == {(2, 0), (2, 1)}
    assert all([earlier for _, earlier in step] == [[], [2]] for step in seen)
    log = pd.read_parquet(task.records / "log.parquet")
    losses = log[log["quantity"] == "loss"].groupby("model").size()
    assert losses["w100"] == 12
    assert losses["w050"] + losses["w075"] == 12
    assert losses.min() < 12


def test_normalisation_measured_anew_is_that_of_the_final_weights(make_task):
    def fitted(recalibrated):
        def recipe(family):
            found = family.fit_alone(
                family.members[-1], SharedClassifier, recalibrated=recalibrated
            )
            order = family.prepared(found.network, SharedClassifier, None, None, 1)[2]
            images = [family.batches.batch(order, family.task.seed, step)[0] for step in range(6)]
            kept["first"] = torch.stack(
                [found.network.network.backbone.conv1(each).mean((0, 2, 3)) for each in images]
            ).mean(0)

        return recipe

    kept = {}
    means = {}
    for recalibrated in (False, True):
        task = make_task(str(recalibrated), widths=(1.0,), epochs=1)
        run(task, fitted(recalibrated))
        weights = load_file(task.models / "w100.safetensors")
        means[recalibrated] = weights["backbone.bn1.running_mean"]
    torch.testing.assert_close(means[True], kept["first"].detach(), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(means[False], means[True], rtol=1e-2)


def test_every_member_is_saved_once(make_task):
    def twice(family):
        fitted = family.fit_together(SharedClassifier)
        family.save(family.members[0], fitted.extract(family.members[0]))

    def never(family):
        family.fit(family.switchable(), SharedClassifier)

    with pytest.raises(InputError, match="w050 is saved already"):
        run(make_task("a", epochs=1), twice)
    with pytest.raises(InputError, match="saved no w050, w100; let it call"):
        run(make_task("b", epochs=1), never)
