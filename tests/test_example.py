"""The example in one file, held to the library for three steps."""

import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from sfsc.profile import TrainingOptions
from sfsc.seeds import generator
from sfsc.training.aggregation import project_in_order
from sfsc.training.batch import Batch
from sfsc.training.objectives import Evidence, EvidenceOptions, Problem, SharedClassifier
from sfsc.training.processes import Processes
from sfsc.training.step import Step

PATH = Path(__file__).parents[1] / "examples" / "sfsc_in_one_file.py"
ORDER = [[2, 1], [0, 2], [1, 0]]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("example", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Trained(nn.Module):
    """The example's network, as the library trains any."""

    def __init__(self, network, widths):
        super().__init__()
        self.network, self.names = network, [str(width) for width in widths]
        self.embedding_dim = 32
        self._members = [Member(network, index) for index in range(len(widths))]

    def select(self, index):
        pass

    def module(self, index):
        return self._members[index]

    def shared_parameters(self):
        return iter(self.network.shared())

    def leaves(self, index):
        return self.network.shared()

    def bare_parameters(self):
        return iter(())


class Member(nn.Module):
    def __init__(self, network, index):
        super().__init__()
        self._of = lambda images: network(images, index)

    def forward(self, images):
        return self._of(images)


def test_three_steps_are_those_of_the_library(example):
    torch.manual_seed(0)
    network = example.Switchable()
    prototypes = nn.Parameter(torch.randn(example.CLASSES, example.DIM))
    again = example.Switchable()
    again.load_state_dict(network.state_dict())
    problem = Problem(3, example.DIM, example.CLASSES, example.SCALE)
    evidence = EvidenceOptions(kl_weight=example.KL_WEIGHT)
    objective = SharedClassifier(problem, partial(Evidence, evidence))
    with torch.no_grad():
        objective.classifier.weight.copy_(prototypes)
    options = TrainingOptions(1, 16, 0.05, optimiser="sgd", momentum=0.0, weight_decay=0.0)

    def aggregation(gram, random):
        return project_in_order(gram, torch.tensor(ORDER))

    library = Step(
        Trained(again, example.WIDTHS), objective, aggregation, "network", options, Processes()
    )
    optimiser = torch.optim.SGD([*network.parameters(), prototypes], 0.05)
    for number in range(3):
        images = torch.randn(16, 3, 8, 8, generator=generator(number))
        labels = torch.randint(10, (16,), generator=generator(number))
        losses = example.step(network, prototypes, images, labels, ORDER)
        optimiser.step()
        optimiser.zero_grad()
        batch = Batch(images, labels, torch.arange(16), number, 3, generator(0))
        values = library(batch, 0.05, generator(0), range(3))
        assert values[:3].tolist() == pytest.approx(losses, rel=1e-4)
    for mine, theirs in zip(network.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(prototypes, objective.classifier.weight, rtol=1e-3, atol=1e-5)


def test_its_projection_is_the_librarys_where_gradients_conflict(example):
    gradients = torch.randn(3, 5, dtype=torch.float64, generator=generator(3))
    gradients[1] -= 2 * gradients[0]
    gram = (gradients @ gradients.T)[None]
    expected = project_in_order(gram, torch.tensor(ORDER))[0] @ gradients
    torch.testing.assert_close(example.projected(list(gradients), ORDER), expected)
    assert not torch.allclose(expected, gradients.sum(0))


def test_it_trains(example, capsys):
    example.main(steps=60)
    printed = capsys.readouterr().out
    assert printed.count("R@1") == 9
