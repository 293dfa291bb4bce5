"""Ways to make one training step of four widths: ours and its peers, which are plain.

All start from the same weights and draw the projection's orders alike, so that they can be held to
the same update.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torchjd import autojac
from torchjd.aggregation import PCGrad, Sum

from benchmarks.agreement import hold
from sfsc.profile import TrainingOptions
from sfsc.seeds import generator
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import SwitchableNetwork, build
from sfsc.training.aggregation import Aggregation, project_in_order
from sfsc.training.batch import Batch
from sfsc.training.objectives import (
    Evidence,
    EvidenceOptions,
    Outcome,
    SharedClassifier,
)
from sfsc.training.objectives import Problem as OfObjective
from sfsc.training.processes import Processes
from sfsc.training.step import Step

WIDTHS = (0.25, 0.5, 0.75, 1.0)
CLASSES = 10
_RATE = 1e-3
_NEAR = 1e-5
_ALONE = Processes()


@dataclass(frozen=True)
class Problem:
    """What a step is made of; the networks have the images' device and dtype."""

    spec: NetworkSpec
    images: Tensor
    """(B, 3, S, S), normalised."""
    labels: Tensor
    """(B,), int64."""
    widths: Sequence[float] = WIDTHS
    precision: Any = "float32"
    compiled: bool = False

    @property
    def options(self) -> TrainingOptions:
        return TrainingOptions(
            1, len(self.images), _RATE, precision=self.precision, compile=self.compiled
        )

    def network(self) -> SwitchableNetwork:
        network = build(self.spec, self.widths, 0)
        network.to(self.images.device, self.images.dtype)
        return network.to(memory_format=torch.channels_last)

    def objective(self) -> "Contested":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            asked = OfObjective(
                len(self.widths), self.spec.embedding_dim, CLASSES, self.options.embedding_scale
            )
            objective = Contested(asked, partial(Evidence, EvidenceOptions()))
        return objective.to(self.images.device, self.images.dtype)

    def batch(self) -> Batch:
        rows = torch.arange(len(self.images))
        return Batch(self.images, self.labels, rows, 0, 1, generator(0))


def problem(spec: NetworkSpec, batch: int, device: str = "cpu", **more: Any) -> Problem:
    """Random images of the size that `spec` says, and labels."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, spec.image_size, spec.image_size, generator=random)
    labels = torch.randint(CLASSES, (batch,), generator=random)
    images = images.to(device, memory_format=torch.channels_last)
    return Problem(spec, images, labels.to(device), **more)


class Contested(SharedClassifier):
    """SFSC's loss, with other labels for each sub-model: their gradients are sure to conflict.

    Where none do, a projection that does nothing would pass for one.
    """

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        others = dataclasses.replace(batch, labels=(batch.labels + member) % CLASSES)
        return super().forward(member, embeddings, others, earlier)


class Way(NamedTuple):
    """One way to train: a step, and what it has made so far."""

    step: Callable[[], Tensor]
    """Makes one update; answers with the sub-models' losses."""
    tensors: Callable[[int], dict[str, Tensor]]
    """Weights and statistics of a sub-model, as its own, and the classifier, now."""


def sfsc(
    problem: Problem,
    aggregation: Aggregation | None = None,
    together: Processes = _ALONE,
    part: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
) -> Way:
    """The suite's own step, by default with its projection in the orders that TorchJD draws."""
    network, objective = problem.network(), problem.objective()
    step = Step(
        network, objective, aggregation or _projection, "network", problem.options, together, part
    )
    random, count, batch = generator(0), len(problem.widths), problem.batch()

    def run() -> Tensor:
        return step(batch, _RATE, random, range(count))[:count]

    return Way(run, lambda index: network.extract(index).state_dict() | objective.state_dict())


def separate(problem: Problem, index: int) -> Way:
    """Sub-model `index` as a plain static network that trains alone."""
    network, objective = problem.network().extract(index), problem.objective()
    network.to(problem.images.device).to(memory_format=torch.channels_last)
    passes: Any = torch.compile(network, dynamic=False) if problem.compiled else network
    optimiser = _adamw([*network.parameters(), *objective.parameters()], problem.options)

    def run() -> Tensor:
        optimiser.zero_grad()
        loss = _loss(problem, passes, objective, index)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return Way(run, lambda _: network.state_dict() | objective.state_dict())


class _Sliced(nn.Module):
    """The switchable network as torch has it anyway: each pass slices the full weights.

    Its parameters are ordinary ones, and autograd leaves the gradients on them. For networks whose
    layers are convolutions and batch normalisation.
    """

    def __init__(self, network: SwitchableNetwork) -> None:
        super().__init__()
        count = len(network.widths)
        self.static = nn.ModuleList(network.extract(index) for index in range(count))
        self.static.to(next(network.parameters()).device).to(memory_format=torch.channels_last)
        widest = self.static[network.widths.index(max(network.widths))]
        private = {
            f"{name}.{own}"
            for name, module in widest.named_modules()
            if isinstance(module, nn.BatchNorm2d)
            for own, _ in module.named_parameters()
        }
        self._full = {n: p for n, p in widest.named_parameters() if n not in private}
        self._slices = [
            {n: tuple(map(slice, p.shape)) for n, p in each.named_parameters() if n in self._full}
            for each in self.static
        ]
        self.shared = list(self._full.values())
        self.private = [
            p for each in self.static for n, p in each.named_parameters() if n in private
        ]

    def _weights(self, index: int) -> dict[str, Tensor]:
        return {name: self._full[name][place] for name, place in self._slices[index].items()}

    def forward(self, images: Tensor, index: int) -> Tensor:
        embeddings: Tensor = functional_call(self.static[index], self._weights(index), (images,))
        return embeddings

    def tensors(self, index: int) -> dict[str, Tensor]:
        return self.static[index].state_dict() | self._weights(index)


def by_torchjd(problem: Problem) -> Way:
    """TorchJD's autojac, and its PCGrad over what the sub-models share."""
    network, objective = _Sliced(problem.network()), problem.objective()
    shared = [*network.shared, *objective.parameters()]
    optimiser, aggregator = _adamw([*shared, *network.private], problem.options), PCGrad()

    def run() -> Tensor:
        optimiser.zero_grad()
        losses = [_of(problem, network, objective, i) for i in range(len(problem.widths))]
        # One loss at a time: in parallel each would go back through the others' passes as well.
        autojac.backward(losses, parallel_chunk_size=1)
        autojac.jac_to_grad(shared, aggregator)
        autojac.jac_to_grad(network.private, Sum())
        _lay_out(shared)
        optimiser.step()
        return torch.stack(losses).detach()

    return Way(run, lambda index: network.tensors(index) | objective.state_dict())


def by_literal_pcgrad(problem: Problem) -> Way:
    """Yu et al. 2020, algorithm 1, as it is usually written: clone, flatten, loop."""
    network, objective = _Sliced(problem.network()), problem.objective()
    shared = [*network.shared, *objective.parameters()]
    optimiser = _adamw([*shared, *network.private], problem.options)

    def run() -> Tensor:
        optimiser.zero_grad()
        gradients, losses = [], []
        for index in range(len(problem.widths)):
            for parameter in shared:
                parameter.grad = None
            losses.append(_of(problem, network, objective, index))
            losses[-1].backward()
            gradients.append(torch.cat([_gradient(p).flatten() for p in shared]))
        projected = [gradient.clone() for gradient in gradients]
        for gradient, met in zip(projected, _orders(len(gradients)), strict=True):
            for j in met:
                inner = torch.dot(gradient, gradients[j])
                if inner < 0:
                    gradient -= inner / gradients[j].square().sum() * gradients[j]
        update, start = torch.stack(projected).sum(dim=0), 0
        for parameter in shared:
            end = start + parameter.numel()
            parameter.grad = update[start:end].view_as(parameter).clone()
            start = end
        _lay_out(shared)
        optimiser.step()
        return torch.stack(losses).detach()

    return Way(run, lambda index: network.tensors(index) | objective.state_dict())


WAYS: dict[str, Callable[[Problem], Way]] = {
    "sfsc": sfsc,
    "TorchJD": by_torchjd,
    "literal PCGrad": by_literal_pcgrad,
}


def check(spec: NetworkSpec, device: str = "cpu") -> None:
    """Hold all ways to the same update, and each width's gradient to its static network's.

    In float64: AdamW makes whole steps of what rounding leaves of tiny gradients.
    """
    small = problem(dataclasses.replace(spec, image_size=spec.image_size // 2), 4, device)
    exact = dataclasses.replace(small, images=small.images.double())
    every = range(len(exact.widths))
    expected = added(sfsc(exact), every)
    for name, way in WAYS.items():
        if name != "sfsc":
            same_update(f"{name}'s update and ours", added(way(exact), every), expected)
    for index, width in enumerate(exact.widths):
        what = f"the update of a static network of width {width} and of that sub-model"
        own = sfsc(exact, aggregation=_only(index))
        same_update(what, added(separate(exact, index), [index]), added(own, [index]))


def same_update(what: str, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Hold what one way added to each tensor to what another one did, to 1e-5 of it."""
    for name, tensor in found.items():
        apart = (tensor - expected[name]).norm() / expected[name].norm()
        hold(f"{what} ({name})", float(apart), _NEAR)


@torch.no_grad()
def added(way: Way, sub_models: Sequence[int], steps: int = 2) -> dict[str, Tensor]:
    """What some steps add to each tensor of some sub-models."""

    def tensors() -> dict[str, Tensor]:
        return {
            f"sub-model {index}: {name}": tensor.double().clone()
            for index in sub_models
            for name, tensor in way.tensors(index).items()
        }

    before = tensors()
    for number in range(steps):
        torch.manual_seed(number)
        with torch.enable_grad():
            way.step()
    return {name: tensor - before[name] for name, tensor in tensors().items()}


def _only(index: int) -> Aggregation:
    """The update is one sub-model's gradient."""

    def choose(gram: Tensor, random: torch.Generator) -> Tensor:
        del random
        weights = torch.zeros_like(gram[:, 0])
        weights[:, index] = 1
        return weights

    return choose


def _projection(gram: Tensor, random: torch.Generator) -> Tensor:
    del random
    return project_in_order(gram, torch.tensor(_orders(gram.shape[1])))


def _orders(count: int) -> list[list[int]]:
    """Whom each gradient meets, in order: as TorchJD draws it, from torch's global generator."""
    return [[j for j in torch.randperm(count).tolist() if j != i] for i in range(count)]


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()


def _lay_out(parameters: Sequence[nn.Parameter]) -> None:
    """Give gradients their parameters' strides: fused AdamW pairs them by their place in memory."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter).copy_(parameter.grad)


def _of(problem: Problem, network: nn.Module, objective: Contested, index: int) -> Tensor:
    return _loss(problem, lambda images: network(images, index), objective, index)


def _loss(problem: Problem, passes: Any, objective: Contested, index: int) -> Tensor:
    images, options = problem.images, problem.options
    bfloat16 = options.precision == "bfloat16"
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
        embeddings = passes(images)
    if bfloat16:
        embeddings = embeddings.float()
    directions = nn.functional.normalize(embeddings, dim=1)
    return objective(index, directions, problem.batch(), {}).loss  # type: ignore[no-any-return]


def _adamw(parameters: Sequence[nn.Parameter], options: TrainingOptions) -> torch.optim.Optimizer:
    decayed = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups, lr=_RATE, betas=(0.9, 0.99), weight_decay=options.weight_decay, fused=True
    )
