"""The step that a CUDA graph records is the step, and recording one leaves no trace.

A graph itself needs a GPU: those tests run where there is one.
"""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.config.grid import Config, RunConfig, deep_merge
from pipeline.models.vae import VAE
from pipeline.training import checkpoint
from pipeline.training.graph import GraphedStep, StaticStep, make_step, nothing_changed
from pipeline.training.losses import elbo_terms
from pipeline.training.state import TrainState, build_train_state, init_weights_for_run
from pipeline.training.step import TrainStep, update_noise_estimates
from pipeline.training.trainer import TrainData, fit, train_epoch

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
BATCH_SIZE = 64
# Of each kind of network and of noise; the rates are exact in the 32 bits that a GPU reads.
SMALL = {
    "data": {"val_size": 50, "train_size": 250},
    "model": {"channels": [8, 8]},
    "train": {
        "epochs": 3,
        "batch_size": BATCH_SIZE,
        "learning_rate": 2**-10,
        "linear_lr_scale": 0.125,
        "precision": "fp32",
        "lr_scheduler": {"name": "plateau", "patience": 0},
        "augment": {"crop_padding": 4},
    },
}
VARIANTS = {
    "original": {},
    "pca_refined": {"model": {"refiner_channels": [8, 8]}},
    "flow": {"model": {"flow_channels": 32, "flow_blocks": 1}},
}
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(scope="module")
def data(small_images: np.ndarray) -> TrainData:
    images = torch.from_numpy(small_images)[:, :, ::2, ::2].contiguous()
    return TrainData(images[:250], images[250:])


@pytest.fixture(params=VARIANTS)
def run(params: Config, request: pytest.FixtureRequest) -> RunConfig:
    recipe = params.recipe(request.param).model_dump()
    changed = deep_merge(deep_merge(recipe, SMALL), VARIANTS[request.param])
    return RunConfig(variant=request.param, latent_dim=6, seed=0, **changed)


def begun(run: RunConfig, data: TrainData, device: torch.device = CPU) -> TrainState:
    state = build_train_state(run, [3, 16, 16], 4, device)
    init_weights_for_run(state, run, data.train_images)
    return state


def on(device: torch.device, data: TrainData) -> TrainData:
    return TrainData(*(images.to(device) for images in data))


def contents(step: TrainStep | GraphedStep) -> dict[str, Tensor]:
    """All that a step changes."""
    state = step.state
    kept = {f"model.{name}": t for name, t in state.model.state_dict().items()}
    kept |= {f"averaged.{name}": t for name, t in state.averaged.state_dict().items()}
    for number, slots in state.optimizer.state_dict()["state"].items():
        kept |= {f"optimizer.{number}.{name}": t for name, t in slots.items()}
    kept |= {"sums": step.sums, "generator": state.generator.get_state()}
    return {name: tensor.cpu().clone() for name, tensor in kept.items()}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


def batches() -> list[Tensor]:
    """Two of the full size, and the smaller last one."""
    order = torch.randperm(250, generator=torch.Generator().manual_seed(3))
    return [order[:64], order[64:128], order[128:186]]


def test_a_step_by_inputs_that_stay_in_place_is_the_step_in_every_byte(
    run: RunConfig, data: TrainData
) -> None:
    plain = TrainStep(begun(run, data), run, data.train_images)
    static = TrainStep(begun(run, data), run, data.train_images)
    by_size = {size: StaticStep(static, size) for size in (64, 58)}
    for number, index in enumerate(batches()):
        for step in (plain, static):
            for group in step.state.optimizer.param_groups:
                group["lr"] *= 0.5**number
        plain(index)
        by_size[len(index)](index)
    assert_equal(contents(static), contents(plain))
    groups = static.state.optimizer.param_groups
    assert all(isinstance(group["lr"], float) for group in groups), "a checkpoint keeps numbers"


@pytest.mark.parametrize("steps_before", [0, 2])
def test_steps_that_are_only_tried_leave_no_trace(
    run: RunConfig, data: TrainData, steps_before: int
) -> None:
    plain = TrainStep(begun(run, data), run, data.train_images)
    tried = TrainStep(begun(run, data), run, data.train_images)
    for index in batches()[:steps_before]:
        plain(index)
        tried(index)
    before = contents(tried)
    with nothing_changed(tried):
        for index in batches():
            tried(index)
        assert not torch.equal(contents(tried)["sums"], before["sums"])
    for name, tensor in before.items():
        assert torch.equal(contents(tried)[name], tensor), name
    for index in batches():
        plain(index)
        tried(index)
    assert_equal(contents(tried), contents(plain))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a graph can be recorded here")
def test_a_step_that_cannot_be_recorded_is_taken_as_it_is_and_one_line_says_so(
    run: RunConfig, data: TrainData, caplog: pytest.LogCaptureFixture
) -> None:
    plain = TrainStep(begun(run, data), run, data.train_images)
    graphed = GraphedStep(TrainStep(begun(run, data), run, data.train_images))
    with caplog.at_level(logging.WARNING):
        for step in (plain, graphed):
            for index in batches():
                step(index)
    assert_equal(contents(graphed), contents(plain))
    (line,) = caplog.messages
    assert line.startswith("The training step cannot be one CUDA graph here (")


def test_on_the_processor_a_step_is_no_graph_and_draws_there(
    run: RunConfig, data: TrainData
) -> None:
    state = begun(run, data)
    assert isinstance(make_step(state, run, data.train_images), TrainStep)
    assert state.generator.device == CPU


class Operations(TorchDispatchMode):
    """Keeps the names of operations, apart those that meet more than one device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.mixed: set[str] = set()

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
        self.seen.add(func.overloadpacket.__name__)
        if len({tensor.device.type for tensor in tensors}) > 1:
            self.mixed.add(func.overloadpacket.__name__)
        return result


# What makes the processor wait for a GPU, and so cannot be recorded.
WAITING = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2"}


def test_nothing_in_a_step_asks_for_a_value(run: RunConfig, data: TrainData) -> None:
    step = StaticStep(TrainStep(begun(run, data), run, data.train_images), BATCH_SIZE)
    with Operations() as operations:
        step.work()
    assert {"convolution_backward", "_fused_adam_"} <= operations.seen, "it sees the whole step"
    assert not operations.seen & WAITING


def test_on_a_gpu_no_operation_before_the_gradient_meets_the_processors_memory(
    run: RunConfig, data: TrainData
) -> None:
    """By tensors that have a shape and a device, and no values."""
    real = begun(run, data)
    with FakeTensorMode():
        draws = real.model.draw(BATCH_SIZE, torch.Generator()).map(lambda part: part.to(CUDA))
        images = torch.zeros(BATCH_SIZE, 3, 16, 16, device=CUDA)
        with CUDA:
            model = VAE(real.model.config)
        state = dataclasses.replace(real, model=model, averaged=model, forward=model)
        with Operations() as operations:
            output = model(images, draws)
            logvar = update_noise_estimates(state, output, images, run.loss, 1.0)
            elbo_terms(model, output, images, run.loss.reduction, run.loss.beta, logvar)
    assert "convolution" in operations.seen
    assert not operations.mixed
    assert not operations.seen & (WAITING | {"lift_fresh"})


@needs_gpu
def test_a_graphs_steps_are_the_steps(run: RunConfig, data: TrainData) -> None:
    images = data.train_images.to(CUDA)
    plain = TrainStep(begun(run, data, CUDA), run, images)
    graphed = make_step(begun(run, data, CUDA), run, images)
    assert isinstance(graphed, GraphedStep)
    for index in batches():
        plain(index.to(CUDA))
        graphed(index.to(CUDA))
    assert graphed.can_record, "it was recorded"
    found, expected = contents(graphed), contents(plain)
    assert torch.equal(found["generator"], expected["generator"])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@needs_gpu
@pytest.mark.parametrize("stopped_after", [1, 2])
def test_on_a_gpu_a_killed_run_resumes_to_the_same_bytes(
    run: RunConfig, data: TrainData, tmp_path: Path, stopped_after: int
) -> None:
    there = on(CUDA, data)
    undisturbed, killed, resumed = (begun(run, data, CUDA) for _ in range(3))
    list(fit(undisturbed, run, there))
    for epoch in fit(killed, run, there):
        checkpoint.save_checkpoint(tmp_path, "abc", killed)
        if epoch.metrics["epoch"] == stopped_after:
            break
    assert checkpoint.load_latest_checkpoint(tmp_path, "abc", resumed)
    list(fit(resumed, run, there))
    assert resumed.history == undisturbed.history
    steps = [TrainStep(state, run, there.train_images) for state in (resumed, undisturbed)]
    assert_equal(*map(contents, steps))


@needs_gpu
def test_a_gpu_learns_what_the_processor_learns(run: RunConfig, data: TrainData) -> None:
    """Their random numbers differ: the losses agree as those of two seeds do."""
    losses = []
    for device in (CPU, CUDA):
        state = begun(run, data, device)
        step = make_step(state, run, data.train_images.to(device))
        losses.append([train_epoch(step)["train_loss"] for _ in range(3)][-1])
    assert losses[1] == pytest.approx(losses[0], rel=0.2)
