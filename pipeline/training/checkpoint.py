"""The resumable state of a run in training, under its fingerprint; safetensors only."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pipeline.storage import atomic
from pipeline.training.state import TrainState

KEEP_LAST_N = 2
logger = logging.getLogger(__name__)


def save_checkpoint(folder: Path, fingerprint: str, state: TrainState) -> None:
    """Write one epoch's state under its fingerprint, then delete all but the last KEEP_LAST_N."""
    optimizer = state.optimizer.state_dict()
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    if state.averaged is not state.model:
        averaged = state.averaged.state_dict()
        tensors |= {f"averaged.{name}": tensor for name, tensor in averaged.items()}
    for index, values in optimizer["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in values.items()}
    tensors["generator"] = state.generator.get_state()
    tensors["snapshots"] = torch.stack(state.snapshots)
    rest = {
        "fingerprint": fingerprint,
        "param_groups": optimizer["param_groups"],
        "lr_scheduler": state.lr_scheduler.state_dict(),
        "history": state.history,
        "epoch_seconds": state.epoch_seconds,
        "epoch_cpu_seconds": state.epoch_cpu_seconds,
    }
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(rest)
    content = save(plain, metadata={"state": text, "sha256": _digest(text, plain)})
    atomic.write_bytes(folder / f"epoch-{len(state.history):05d}.safetensors", content)
    for old in list_checkpoints(folder)[KEEP_LAST_N:]:
        old.unlink()


def list_checkpoints(folder: Path) -> list[Path]:
    """List the epochs' checkpoints, newest first."""
    return sorted(folder.glob("epoch-*.safetensors"), reverse=True)


def delete_checkpoints(folder: Path) -> None:
    """Delete a finished run's checkpoints."""
    for path in list_checkpoints(folder):
        path.unlink()


def load_latest_checkpoint(folder: Path, fingerprint: str, state: TrainState) -> bool:
    """Bring `state` to the newest usable checkpoint of this fingerprint; False if there is none."""
    for path in list_checkpoints(folder):
        try:
            tensors, rest = _read(path)
            if rest["fingerprint"] != fingerprint:
                raise ValueError("it belongs to another run")
            _load_state(state, tensors, rest)
            return True
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            logger.warning("Checkpoint %s ignored: %s", path, error)
    return False


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        names = file.keys()
        tensors = {name: file.get_tensor(name) for name in names}
    if metadata["sha256"] != _digest(metadata["state"], tensors):
        raise ValueError("it was altered: its checksum does not fit")
    return tensors, json.loads(metadata["state"])


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _load_state(state: TrainState, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    # Model and optimizer.
    optimizer: dict[int, dict[str, Tensor]] = {}
    model: dict[str, Tensor] = {}
    averaged: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        part, _, key = name.partition(".")
        if part == "model":
            model[key] = tensor
        elif part == "averaged":
            averaged[key] = tensor
        elif part == "optimizer":
            index, _, slot = key.partition(".")
            optimizer.setdefault(int(index), {})[slot] = tensor
    state.model.load_state_dict(model)
    state.averaged.load_state_dict(averaged or model)
    state.optimizer.load_state_dict({"state": optimizer, "param_groups": rest["param_groups"]})
    # The fused Adam walks parameter and moments in memory order: their layouts must agree.
    for parameter, slots in state.optimizer.state.items():
        for name, value in slots.items():
            if value.shape == parameter.shape:
                slots[name] = torch.empty_like(parameter).copy_(value)

    # Schedule, randomness and what was recorded.
    state.lr_scheduler.load_state_dict(rest["lr_scheduler"])
    state.generator.set_state(tensors["generator"])
    state.snapshots[:] = list(tensors["snapshots"])
    state.history[:] = rest["history"]
    state.epoch_seconds[:] = rest["epoch_seconds"]
    state.epoch_cpu_seconds[:] = rest["epoch_cpu_seconds"]
