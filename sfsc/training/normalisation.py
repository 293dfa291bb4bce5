"""Batch normalisation: statistics of a batch that processes share, and statistics measured anew."""

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from sfsc.data.batches import Batches
from sfsc.data.order import Order
from sfsc.training.half_precision import at_least_float32
from sfsc.training.trainable import Trainable


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d over the images of all processes; parts of the batch are of equal size.

    torch's own nn.SyncBatchNorm is for GPUs alone.
    """

    def __init__(self, norm: nn.BatchNorm2d):
        """Takes over the tensors of `norm` and, if it is timm's BatchNormAct2d, its activation."""
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.to(norm.weight)
        self.load_state_dict(norm.state_dict())
        with_activation = isinstance(norm, BatchNormAct2d)
        after = [norm.get_submodule("drop"), norm.get_submodule("act")] if with_activation else []
        self.after = nn.Sequential(*after)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.after(self._normalised(x) if self.training else super().forward(x))
        return result

    def _normalised(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        assert self.num_batches_tracked is not None
        dtype, x = x.dtype, at_least_float32(x)  # as nn.BatchNorm2d's statistics under autocast
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _sum(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = _sum(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(dtype)


def synchronise(network: nn.Module) -> None:
    """Replace every batch normalisation of `network`, in place."""
    for name, norm in list(network.named_modules()):
        if type(norm) in (nn.BatchNorm2d, BatchNormAct2d):
            network.set_submodule(name, SynchronisedBatchNorm2d(norm))


@torch.no_grad()
def recalibrate(network: Trainable, batches: Batches, order: Order, seed: int) -> None:
    """Measure the statistics of each member's normalisation over the batches of one epoch."""
    assert isinstance(network, nn.Module)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, each as much as another
    network.train()
    for index in range(len(network.names)):
        network.select(index)
        for step in range(order.steps_per_epoch):
            images, _, _ = batches.batch(order, seed, step)
            network.module(index)(images)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        # Every process's loss depends on the sum, and so on each of its terms.
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _sum(tensor: Tensor) -> Tensor:
    """The sum over the processes, with its gradient."""
    result: Tensor = _Sum.apply(tensor)
    return result
