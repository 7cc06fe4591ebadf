"""One run over several processes: PyTorch's DDP through Lightning Fabric.

All processes draw the same random numbers for the whole batch and take their shard, so that the
run is the one that a single process would make, up to the rounding of sums.
"""

import os
from typing import Any, NamedTuple

import torch
from torch import Tensor


class DistributedContext(NamedTuple):
    """This process's place among those that train one run."""

    rank: int = 0
    world_size: int = 1
    fabric: Any = None

    def shard(self, batch: Tensor) -> Tensor:
        """Take this process's part of a tensor [B, ...]."""
        return batch[self.rank :: self.world_size]

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        """Sum a tensor over all processes, on each of them."""
        if self.world_size > 1:
            torch.distributed.all_reduce(value)
        return value

    def wrap_ddp(self, model: Any) -> Any:
        """Wrap the model so that its gradients are averaged over all processes."""
        if self.fabric is None:
            return model
        return self.fabric.setup_module(model, move_to_device=False)


SINGLE_PROCESS = DistributedContext()


def init_distributed(
    world_size: int, device: torch.device
) -> tuple[DistributedContext, torch.device]:
    """Start `world_size` processes with a device each, or join those that torchrun started."""
    if world_size == 1:
        return SINGLE_PROCESS, device
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    here = int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
    # Buffers follow sums over all processes and so are equal already.
    strategy = DDPStrategy(broadcast_buffers=False)
    fabric = Fabric(
        accelerator=device.type,
        devices=here,
        num_nodes=world_size // here,
        strategy=strategy,
    )
    fabric.launch()
    return DistributedContext(fabric.global_rank, fabric.world_size, fabric), fabric.device
