"""SFSC whole, for readers: nested widths, one classifier, the uncertainty loss, the projection.

Plain torch on scikit-learn's digits; half a minute on a CPU: python examples/sfsc_in_one_file.py
The library does the same, faster and for any backbone; a test holds the two together. Wu et al.,
Switchable Representation Learning Framework with Self-Compatibility, CVPR 2023.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (0.25, 0.5, 1.0)
CHANNELS, DIM, CLASSES, SCALE, KL_WEIGHT = (3, 16, 32), 32, 10, 8.0, 0.5


class NestedConv(nn.Module):
    """A convolution whose narrow forms are its leading channels, and a norm for each width."""

    def __init__(self, ins: int, outs: int, first: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outs, ins, 3, 3))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.first = first  # it reads the image, whose channels are all kept
        self.norms = nn.ModuleList(nn.BatchNorm2d(round(w * outs)) for w in WIDTHS)

    def forward(self, x: Tensor, index: int) -> Tensor:
        outs, ins = self.weight.shape[:2]
        width = WIDTHS[index]
        kept = self.weight[: round(width * outs), : ins if self.first else round(width * ins)]
        x = F.conv2d(x, kept, stride=1 if self.first else 2, padding=1)
        return F.relu(self.norms[index](x))


class Switchable(nn.Module):
    """Sub-models of three widths in one set of weights; all embed into DIM dimensions."""

    def __init__(self) -> None:
        super().__init__()
        pairs = itertools.pairwise(CHANNELS)
        self.layers = nn.ModuleList(NestedConv(i, o, n == 0) for n, (i, o) in enumerate(pairs))
        self.head = nn.Parameter(torch.randn(DIM, CHANNELS[-1]) / math.sqrt(CHANNELS[-1]))

    def forward(self, images: Tensor, index: int) -> Tensor:
        x = images
        for layer in self.layers:
            x = layer(x, index)
        features = x.mean((2, 3))
        return F.normalize(features @ self.head[:, : features.shape[1]].T, dim=1)

    def shared(self) -> list[nn.Parameter]:
        """All but the norms, which are each width's own."""
        return [*(layer.weight for layer in self.layers), self.head]


def uncertainty_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits as evidence for a Dirichlet: expected cross entropy, and a penalty for evidence
    in favour of wrong classes (Sensoy et al. 2018; Han et al. 2021)."""
    classes = logits.shape[1]
    alpha = F.softplus(logits) + 1
    right = F.one_hot(labels, classes)
    expected = torch.digamma(alpha.sum(1)) - torch.digamma((alpha * right).sum(1))
    wrong = right + (1 - right) * alpha
    total = wrong.sum(1)
    divergence = (
        torch.lgamma(total)
        - math.lgamma(classes)
        - torch.lgamma(wrong).sum(1)
        + ((wrong - 1) * (torch.digamma(wrong) - torch.digamma(total)[:, None])).sum(1)
    )
    return (expected + KL_WEIGHT * math.log(classes) / classes * divergence).mean()


def projected(gradients: list[Tensor], order: list[list[int]]) -> Tensor:
    """The sum of the gradients, each without what conflicts with the others (PCGrad, 2020)."""
    found = []
    for own, others in zip(gradients, order, strict=True):
        left = own.clone()
        for j in others:
            inner = left @ gradients[j]
            if inner < 0:
                left -= inner / gradients[j].square().sum() * gradients[j]
        found.append(left)
    return torch.stack(found).sum(0)


def step(
    network: Switchable,
    prototypes: nn.Parameter,
    images: Tensor,
    labels: Tensor,
    order: list[list[int]],
) -> list[float]:
    """Leave SFSC's update in every parameter's gradient; answer with the sub-models' losses."""
    shared = [*network.shared(), prototypes]
    gradients, losses = [], []
    for index in range(len(WIDTHS)):
        logits = SCALE * network(images, index) @ prototypes.T
        loss = uncertainty_loss(logits, labels)
        loss.backward()  # the norms keep their own gradients
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in shared]))
        for parameter in shared:
            parameter.grad = None
        losses.append(loss.item())
    update, start = projected(gradients, order), 0
    for parameter in shared:
        parameter.grad = update[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    return losses


def main(steps: int = 300) -> None:
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    pixels, labels = map(torch.from_numpy, load_digits(return_X_y=True))
    images = (pixels.float() / 16 - 0.3).view(-1, 1, 8, 8).expand(-1, 3, -1, -1)
    half = len(images) // 2
    network = Switchable()
    prototypes = nn.Parameter(torch.randn(CLASSES, DIM) / math.sqrt(DIM))
    optimiser = torch.optim.AdamW([*network.parameters(), prototypes], lr=4e-3, weight_decay=0.05)
    for number in range(steps):
        rows = torch.randint(half, (64,))
        order = [
            [j for j in torch.randperm(len(WIDTHS)).tolist() if j != i] for i in range(len(WIDTHS))
        ]
        optimiser.zero_grad()
        losses = step(network, prototypes, images[rows], labels[rows], order)
        optimiser.step()
        if number % 50 == 0 or number == steps - 1:
            print(f"step {number}: losses {', '.join(f'{loss:.2f}' for loss in losses)}")
    network.eval()
    with torch.no_grad():
        found = [network(images[half:], index) for index in range(len(WIDTHS))]
    for query, own in zip(WIDTHS, found, strict=True):
        for gallery, other in zip(WIDTHS, found, strict=True):
            similar = (own @ other.T).fill_diagonal_(-1)
            right = labels[half:][similar.argmax(1)] == labels[half:]
            print(f"query {query}, gallery {gallery}: R@1 {right.float().mean():.3f}")


if __name__ == "__main__":
    main()
