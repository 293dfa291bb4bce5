"""The processes that train one network together: one, or as many as torchrun started."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from sfsc.files import InputError


@dataclass(frozen=True)
class Processes:
    """This process's `rank` among `count`. The first, of rank 0, writes the files."""

    rank: int = 0
    count: int = 1

    def start_sum(self, tensor: Tensor) -> Callable[[], object]:
        """Begin to add up `tensor`, in place, over the processes; call the answer to wait."""
        if self.count == 1:
            return lambda: None
        work = dist.all_reduce(tensor, async_op=True)
        assert work is not None
        return work.wait

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of `tensor` over the processes."""
        total = tensor.clone()
        self.start_sum(total)()
        return total / self.count


@contextmanager
def joined() -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that torchrun started; yield them, and the device of this one.

    Without torchrun it is one process alone. A process takes the GPU of its local rank, if there
    are GPUs; the processes talk through NCCL then, through gloo otherwise.
    """
    gpus = torch.cuda.is_available()
    device = torch.device("cpu")
    if gpus:
        place = int(os.environ.get("LOCAL_RANK", 0))
        if place >= torch.cuda.device_count():
            raise InputError(
                f"processes: {place + 1} on this machine but {torch.cuda.device_count()} GPUs;"
                " start at most one per GPU"
            )
        device = torch.device("cuda", place)
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield Processes(), device
        return
    dist.init_process_group("nccl" if gpus else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()
