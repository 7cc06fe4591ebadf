"""What "auto" means is decided once, by what the device computes in."""

import pytest
import torch

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


def test_the_best_device_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert get_device().type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert get_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert get_device().type == "cuda"
