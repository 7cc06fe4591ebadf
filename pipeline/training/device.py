"""Which device every stage works on, and in which precision."""

import logging
import os
from functools import cache

import torch

from pipeline import UserError
from pipeline.config.recipe import Precision

# Names the device of all stages: cpu, cuda, cuda:1, mps. It is the machine's own, so no parameter.
DEVICE_VARIABLE = "VAE_DEVICE"
logger = logging.getLogger(__name__)


def get_device() -> torch.device:
    """Choose the device that VAE_DEVICE names, else CUDA, else Apple's MPS, else the CPU.

    Raises UserError if VAE_DEVICE is no device's name. A device that is not there is said once, and
    the work goes on on the CPU; of several GPUs that nobody chose from, the first is taken, and the
    choice is said. On CUDA, PyTorch is told to repeat itself byte for byte.
    """
    return _choose(os.environ.get(DEVICE_VARIABLE))


@cache
def _choose(name: str | None) -> torch.device:
    device = _named(name) if name else _best()
    if device.type == "cuda":
        fix_order_of_sums(warn_only=True)
    return device


def _named(name: str) -> torch.device:
    device = _parse(name)
    if problem := _unusable(device):
        logger.warning("%s is %s, but %s; going on on the CPU", DEVICE_VARIABLE, name, problem)
        return torch.device("cpu")
    return device


def _best() -> torch.device:
    if torch.cuda.is_available():
        if (count := torch.cuda.device_count()) > 1:
            logger.info(
                "Working on the first of %d GPUs; %s=cuda:1 names the second, and so on",
                count,
                DEVICE_VARIABLE,
            )
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    if "CUDA_VISIBLE_DEVICES" in os.environ and torch.version.cuda:
        logger.warning("%s; going on on the CPU", _unusable(torch.device("cuda")))
    return torch.device("cpu")


def fix_order_of_sums(warn_only: bool) -> None:
    """Let CUDA use no algorithm whose sums depend on which thread comes first.

    What has no other algorithm raises RuntimeError, or with `warn_only` is named in a warning.
    Attention's gradient has one, and takes it only if warnings are not enough. cuDNN's benchmark
    stays off: it would choose by the clock.
    """
    # Read when cuBLAS starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if warn_only:
        torch.set_deterministic_debug_mode("warn")
    else:
        # Of the compiler, too, which it imports in a second or two.
        torch.use_deterministic_algorithms(True)
    # Its other effect is to fill what torch.empty makes, which nobody reads before writing it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _parse(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise UserError(
            f"{DEVICE_VARIABLE} is {name!r}; allowed: cpu, cuda, cuda:0, cuda:1, ..., mps"
        )
    return device


def _unusable(device: torch.device) -> str | None:
    """Say why a device cannot be used here; None if it can."""
    if device.type == "cuda":
        count = torch.cuda.device_count()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if not count:
            hint = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
            return f"PyTorch sees no GPU{hint}"
        if device.index is not None and device.index >= count:
            return f"the GPUs here are cuda:0 to cuda:{count - 1}"
    if device.type == "mps" and not torch.backends.mps.is_available():
        return "PyTorch has no MPS here"
    return None


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
