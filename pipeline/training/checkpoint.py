"""A trained model with what rebuilds it, and the resumable state of a run in training; safetensors only."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from pipeline import UserError
from pipeline.storage import atomic
from pipeline.models.vae import VAE
from pipeline.training.trainer import TrainState

KEEP_LAST_N = 2


def save_model(path: Path, model: VAE, metadata: dict[str, Any]) -> None:
    """Write weights.safetensors and model.json (architecture, checksum and `about`) into the folder `path`."""
    weights = save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    atomic.write_bytes(path / "weights.safetensors", weights)
    description = {"architecture": model.architecture, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    atomic.write_json(path / "model.json", description | metadata)


def load_model(path: Path) -> tuple[VAE, dict[str, Any]]:
    """The model in evaluation mode, and model.json; UserError if either file is missing or damaged."""
    try:
        metadata = json.loads((path / "model.json").read_text())
        model = VAE(**metadata["architecture"])
        weights = (path / "weights.safetensors").read_bytes()
        if hashlib.sha256(weights).hexdigest() != metadata["weights_sha256"]:
            raise ValueError("its weights are not those that model.json describes")
        model.load_state_dict(load(weights))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{path} holds no usable model: {error}; run `dvc repro` to train it") from None
    return model.to(memory_format=torch.channels_last).eval(), metadata


def save_checkpoint(folder: Path, fingerprint: str, state: TrainState) -> None:
    """Write one epoch's state under its fingerprint, then forget all but the last KEPT."""
    optimizer = state.optimizer.state_dict()
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    for index, values in optimizer["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in values.items()}
    tensors["generator"] = state.generator.get_state()
    tensors["pictures"] = torch.stack(state.pictures)
    rest = {
        "fingerprint": fingerprint,
        "param_groups": optimizer["param_groups"],
        "scheduler": state.scheduler.state_dict(),
        "history": state.history,
        "seconds": state.seconds,
        "cpu_seconds": state.cpu_seconds,
    }
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(rest)
    content = save(plain, metadata={"state": text, "sha256": _digest(text, plain)})
    atomic.write_bytes(folder / f"epoch-{len(state.history):05d}.safetensors", content)
    for old in list_checkpoints(folder)[KEEP_LAST_N:]:
        old.unlink()


def list_checkpoints(folder: Path) -> list[Path]:
    """The epochs' states, newest first."""
    return sorted(folder.glob("epoch-*.safetensors"), reverse=True)


def delete_checkpoints(folder: Path) -> None:
    """Remove a finished run's states."""
    for path in list_checkpoints(folder):
        path.unlink()


def load_latest_checkpoint(folder: Path, fingerprint: str, state: TrainState) -> bool:
    """Bring `state` to the newest usable checkpoint of this fingerprint; False if there is none."""
    for path in list_checkpoints(folder):
        try:
            tensors, rest = _read(path)
            if rest["fingerprint"] != fingerprint:
                raise ValueError("it belongs to another run")
            _restore(state, tensors, rest)
            return True
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            print(f"Checkpoint {path} ignored: {error}", flush=True)
    return False


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is no dict
    if metadata["sha256"] != _digest(metadata["state"], tensors):
        raise ValueError("it was altered: its checksum does not fit")
    return tensors, json.loads(metadata["state"])


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _restore(state: TrainState, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    optimizer: dict[int, dict[str, Tensor]] = {}
    model: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        part, _, key = name.partition(".")
        if part == "model":
            model[key] = tensor
        elif part == "optimizer":
            index, _, slot = key.partition(".")
            optimizer.setdefault(int(index), {})[slot] = tensor
    state.model.load_state_dict(model)
    state.optimizer.load_state_dict({"state": optimizer, "param_groups": rest["param_groups"]})
    # The fused Adam walks parameter and moments in memory order: their layouts (channels last) must agree.
    for parameter, slots in state.optimizer.state.items():
        for name, value in slots.items():
            if value.shape == parameter.shape:
                slots[name] = torch.empty_like(parameter).copy_(value)
    state.scheduler.load_state_dict(rest["scheduler"])
    state.generator.set_state(tensors["generator"])
    state.pictures[:] = list(tensors["pictures"])
    state.history[:], state.seconds[:], state.cpu_seconds[:] = rest["history"], rest["seconds"], rest["cpu_seconds"]
