"""Which device the work runs on, and in which precision."""

import torch

from pipeline.config.schema import Precision


def get_device() -> torch.device:
    """Choose CUDA where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Say what "auto" means on this machine: bf16 where the device computes in it, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        has_bf16 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
        native = device.type == "cpu" and bool(has_bf16)
    return "bf16" if native else "fp32"
