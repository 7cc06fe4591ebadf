"""One run over several processes: PyTorch's DDP through Lightning Fabric; each takes its part of every batch.

All processes draw the same random numbers for the whole batch and take theirs, so that the run is the one that a
single process would make, up to the rounding of sums.
"""

import os
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.config.schema import Precision


class DistributedContext(NamedTuple):
    """This process's place among those that train one run; alone unless told otherwise."""

    rank: int = 0
    size: int = 1
    fabric: Any = None

    def mine(self, batch: Tensor) -> Tensor:
        """This process's part of a tensor [B, ...]."""
        return batch[self.rank :: self.size]

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes, on each of them."""
        if self.size > 1:
            torch.distributed.all_reduce(value)
        return value

    def wrapped(self, model: Any) -> Any:
        """The model whose gradients are averaged over all processes."""
        return model if self.fabric is None else self.fabric.setup_module(model, move_to_device=False)


SINGLE_PROCESS = DistributedContext()


def get_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """What "auto" means on this machine: bf16 where the device computes in it, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        native = device.type == "cpu" and (capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return "bf16" if native else "fp32"


def init_distributed(processes: int, device: torch.device) -> tuple[DistributedContext, torch.device]:
    """The team of `processes`, each with a device of its own: started here, or by torchrun on any machines."""
    if processes == 1:
        return SINGLE_PROCESS, device
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    # Buffers follow sums over all processes and so are equal already.
    strategy = DDPStrategy(broadcast_buffers=False)
    fabric = Fabric(accelerator=device.type, devices=here, num_nodes=processes // here, strategy=strategy)
    fabric.launch()
    return DistributedContext(fabric.global_rank, fabric.world_size, fabric), fabric.device
