"""What "auto" means is decided once, by what the device computes in."""

import os
from collections.abc import Iterator

import pytest
import torch

from pipeline import UserError
from pipeline.training import device
from pipeline.training.device import get_device, resolve_precision


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, "fp32"),
        ({"avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
    ],
)
def test_auto_is_bf16_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", torch.device("cpu")) == expected
    assert resolve_precision("auto", torch.device("mps")) == "fp32"


@pytest.mark.parametrize("native", [True, False])
def test_auto_on_a_gpu_does_not_count_emulation(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    asked = []

    def is_supported(including_emulation: bool) -> bool:
        asked.append(including_emulation)
        return native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    expected = "bf16" if native else "fp32"
    assert resolve_precision("auto", torch.device("cuda")) == expected
    assert asked == [False]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_named_precision_is_kept(precision: str) -> None:
    assert resolve_precision(precision, torch.device("cpu")) == precision


@pytest.fixture(autouse=True)
def choose_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The choice is made once a process: forget it before and after each test."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.delenv("VAE_DEVICE", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    device._choose.cache_clear()
    yield
    device._choose.cache_clear()
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("name", "missing"), [("cuda", "no GPU"), ("mps", "no MPS")])
def test_a_named_device_that_is_not_there_is_said_and_the_work_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, missing: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("VAE_DEVICE", name)
    assert get_device().type == "cpu"
    assert get_device().type == "cpu"
    (line,) = caplog.messages
    assert f"VAE_DEVICE is {name}" in line
    assert missing in line
    assert "going on on the CPU" in line


@pytest.mark.parametrize("visible", ["", "7"])
def test_a_gpu_that_is_hidden_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, visible: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert get_device().type == "cpu"
    assert not caplog.messages, "nobody hid one"
    device._choose.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert get_device().type == "cpu"
    assert get_device().type == "cpu"
    (line,) = caplog.messages
    assert line == (
        f"PyTorch sees no GPU (CUDA_VISIBLE_DEVICES is {visible!r}); going on on the CPU"
    )


def test_of_several_gpus_the_first_is_taken_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with caplog.at_level("INFO"):
        assert get_device() == torch.device("cuda")
    (line,) = caplog.messages
    assert "first of 4 GPUs" in line
    assert "VAE_DEVICE=cuda:1" in line


def test_a_card_beyond_those_there_are_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("VAE_DEVICE", "cuda:2")
    assert get_device().type == "cpu"
    assert "cuda:0 to cuda:1" in caplog.text
    monkeypatch.setenv("VAE_DEVICE", "cuda:1")
    assert get_device() == torch.device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "tpu", "xla"])
def test_what_is_no_device_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("VAE_DEVICE", name)
    with pytest.raises(UserError, match=f"VAE_DEVICE is '{name}'; allowed: cpu, cuda"):
        get_device()


def test_the_best_device_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert get_device().type == "cpu"
    device._choose.cache_clear()
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert get_device().type == "mps"
    device._choose.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not torch.are_deterministic_algorithms_enabled()
    assert get_device().type == "cuda"
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
