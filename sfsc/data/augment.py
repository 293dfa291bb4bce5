"""Random changes of training images, as whole batches of tensors."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sfsc.profile import Augment


def augmented(
    images: Tensor,
    augment: Augment,
    random: torch.Generator,
    first: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """Each image of a float batch (B, 3, S, S) changed at random and on its own.

    Shifts are by whole pixels, so that without zoom no pixel is blurred; what comes into view
    mirrors the border. `images` may be those from `first` on of a batch of `batch_size`, and then
    change as they would in it.
    """
    count, _, size, _ = images.shape
    drawn = count if batch_size is None else batch_size

    def uniform(bound: float, *shape: int) -> Tensor:
        own = torch.rand(drawn, *shape, generator=random)[first : first + count]
        return (own * 2 - 1) * bound

    scale = uniform(augment.zoom).exp()
    mirror = uniform(1.0).sign() if augment.flip else torch.ones(count)
    shift = (uniform(augment.shift, 2) * size).round() * (2 / size)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * mirror, scale, shift
    gain, offset = 1 + uniform(augment.light, 1, 1, 1), uniform(augment.light, 1, 1, 1)
    if augment.flip or augment.shift or augment.zoom:
        theta = theta.to(images.device, non_blocking=True)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    if augment.light:
        gain, offset = (u.to(images.device, non_blocking=True) for u in (gain, offset))
        images = images * gain + offset
    return images.contiguous(memory_format=torch.channels_last)
