"""Training repeats itself byte for byte, resumes byte for byte, and stops when it diverges."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CASES, ROOT

from pipeline import UserError
from pipeline.config.grid import Config, RunConfig, deep_merge
from pipeline.config.loader import load_config
from pipeline.data import loader
from pipeline.models.layers import init_weights
from pipeline.models.vae import VAE
from pipeline.training import checkpoint
from pipeline.training.state import TrainState, build_train_state, init_weights_for_run
from pipeline.training.trainer import TrainData, fit, validate

PLATEAU = {"name": "plateau", "factor": 0.5, "patience": 0, "warmup_steps": 5}
COSINE = PLATEAU | {"name": "cosine"}
LOSSES = {
    "gaussian": {"likelihood": "gaussian", "reduction": "sum"},
    "bernoulli": {"likelihood": "bernoulli", "reduction": "mean"},
}
REFINED = {"refiner_channels": [8, 8], "noise": "heteroscedastic"}


def run_config(likelihood: str = "gaussian", refined: bool = False, **train: object) -> RunConfig:
    """A small run with these changes of how it is trained."""
    model = {
        "channels": [8, 8],
        "block": "none",
        "refiner_channels": None,
        "flow_channels": None,
        "flow_blocks": 1,
        "noise": "isotropic",
        "fixed_posterior_variance": None,
    }
    defaults = {
        "epochs": 4,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "linear_lr_scale": 1.0,
        "clip_grad_norm": 100.0,
        "ema_half_life": None,
        "lr_scheduler": PLATEAU,
        "augment": {"flip": True, "crop_padding": 4},
        "precision": "fp32",
        "compile": False,
        "num_threads": 1,
        "world_size": 1,
    }
    return RunConfig.model_validate(
        {
            "variant": "small",
            "latent_dim": 6,
            "seed": 0,
            "data": {"dataset": "cifar10", "val_size": 50, "train_size": 250},
            "model": model | (REFINED if refined else {}),
            "loss": LOSSES[likelihood] | {"decoder_variance": "optimal", "beta": 1.0},
            "train": defaults | train,
        }
    )


def untrained(run: RunConfig, steps_per_epoch: int = 5) -> TrainState:
    """A run's state with drawn weights; a linear path does not start from PCA here."""
    state = build_train_state(run, [3, 32, 32], steps_per_epoch, torch.device("cpu"))
    init_weights(state.model, torch.Generator().manual_seed(0))
    state.averaged.load_state_dict(state.model.state_dict())
    return state


def weights(state: TrainState) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in state.model.state_dict().values()]


@pytest.fixture(scope="module")
def data(small_images: np.ndarray) -> TrainData:
    return TrainData(torch.from_numpy(small_images[:250]), torch.from_numpy(small_images[250:]))


def fitted(state: TrainState, run: RunConfig, data: TrainData) -> TrainState:
    for _ in fit(state, run, data):
        pass
    return state


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_run_twice_is_the_same_bytes(data: TrainData, precision: str) -> None:
    run = run_config(precision=precision, epochs=2)
    first, second = fitted(untrained(run), run, data), fitted(untrained(run), run, data)
    assert weights(first) == weights(second)
    assert first.history == second.history
    assert all(map(torch.equal, first.snapshots, second.snapshots))


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
@pytest.mark.parametrize("lr_scheduler", [PLATEAU, COSINE], ids=["plateau", "cosine"])
def test_a_killed_run_resumes_to_the_same_bytes(
    data: TrainData, tmp_path: Path, lr_scheduler: dict, stopped_after: int
) -> None:
    run = run_config(refined=True, lr_scheduler=lr_scheduler, linear_lr_scale=0.1)
    undisturbed = fitted(untrained(run), run, data)
    killed = untrained(run)
    for epoch in fit(killed, run, data):
        checkpoint.save_checkpoint(tmp_path, "abc", killed)
        if epoch.metrics["epoch"] == stopped_after:
            break
    resumed = untrained(run)
    assert checkpoint.load_latest_checkpoint(tmp_path, "abc", resumed)
    assert len(resumed.history) == stopped_after
    assert resumed.epoch_seconds == killed.epoch_seconds
    assert resumed.epoch_cpu_seconds == killed.epoch_cpu_seconds
    fitted(resumed, run, data)
    assert weights(resumed) == weights(undisturbed)
    assert resumed.history == undisturbed.history
    assert len(resumed.snapshots) == run.train.epochs
    assert all(map(torch.equal, resumed.snapshots, undisturbed.snapshots))


def test_every_epochs_times_are_recorded_once(data: TrainData) -> None:
    run = run_config(epochs=2)
    state = untrained(run)
    epochs = list(fit(state, run, data))
    assert state.epoch_seconds == [epoch.seconds for epoch in epochs]
    assert state.epoch_cpu_seconds == [epoch.cpu_seconds for epoch in epochs]
    assert state.history == [epoch.metrics for epoch in epochs]
    assert [epoch.images_per_second for epoch in epochs] == [
        250 / seconds for seconds in state.epoch_seconds
    ]
    assert list(fit(state, run, data)) == [], "nothing is left to train"


def test_the_cosine_warms_up_and_ends_at_zero_in_both_groups(data: TrainData) -> None:
    cosine = COSINE | {"warmup_steps": 2}
    run = run_config(refined=True, epochs=2, lr_scheduler=cosine, linear_lr_scale=0.1)
    state = untrained(run, steps_per_epoch=4)

    def learning_rates() -> list[float]:
        return [group["lr"] for group in state.optimizer.param_groups]

    rates = [learning_rates()]
    for _ in fit(state, run, data, on_step=lambda: rates.append(learning_rates())):
        pass
    convolutions, linear = zip(*rates, strict=True)
    assert len(rates) == 9
    assert convolutions[0] == pytest.approx(0.5e-3)
    assert max(convolutions) < 1e-3
    assert convolutions[-1] == pytest.approx(0, abs=1e-9)
    assert linear == pytest.approx([0.1 * rate for rate in convolutions])


@pytest.mark.parametrize("variant", load_config(ROOT / "params.yaml").variants)
def test_every_shipped_variant_trains_and_its_weights_rebuild_it(
    data: TrainData, params: Config, tmp_path: Path, variant: str
) -> None:
    changes = {
        "data": {"val_size": 50, "train_size": 250},
        "train": {"epochs": 1, "batch_size": 50},
    }
    recipe = deep_merge(params.recipe(variant).model_dump(), changes)
    if recipe["model"]["flow_channels"] is not None:
        recipe["model"] |= {"flow_channels": 8, "flow_blocks": 1}
    run = RunConfig(variant=variant, latent_dim=4, seed=0, **recipe)
    # Components of a quarter of the pixels are found in a fiftieth of the time.
    small = TrainData(*(images[:, :, ::2, ::2].contiguous() for images in data))
    state = build_train_state(run, [3, 16, 16], 5, torch.device("cpu"))
    assert init_weights_for_run(state, run, small.train_images) is None
    (epoch,) = fit(state, run, small)
    assert all(math.isfinite(value) for value in epoch.metrics.values())
    state.model.save_pretrained(tmp_path, {})
    rebuilt = VAE.from_pretrained(tmp_path)
    with torch.inference_mode():
        x = loader.to_float(small.val_images)
        noise = rebuilt.draw_noise(len(x), torch.Generator().manual_seed(0))
        ours = rebuilt.to_images(rebuilt.encode(x).mu, noise)
        assert torch.equal(ours, state.model.to_images(state.model.encode(x).mu, noise))


def test_foreign_and_torn_checkpoints_are_ignored_with_a_warning(
    data: TrainData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_config(epochs=2)
    state = untrained(run)
    for _ in fit(state, run, data):
        checkpoint.save_checkpoint(tmp_path, "abc", state)
    newest, older = checkpoint.list_checkpoints(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-100])
    fresh = untrained(run)
    assert checkpoint.load_latest_checkpoint(tmp_path, "abc", fresh)
    assert len(fresh.history) == 1, "the older one is used"
    assert f"{newest} ignored" in caplog.text
    assert f"{older} ignored" not in caplog.text
    assert not checkpoint.load_latest_checkpoint(tmp_path, "other", untrained(run))
    assert f"{older} ignored: it belongs to another run" in caplog.text
    older.write_bytes(b"\x80\x04rubbish")
    untouched = untrained(run)
    before = weights(untouched)
    assert not checkpoint.load_latest_checkpoint(tmp_path, "abc", untouched)
    assert not checkpoint.load_latest_checkpoint(tmp_path, "other", untouched)
    assert weights(untouched) == before


@pytest.mark.fuzz
def test_no_altered_checkpoint_or_model_is_loaded(data: TrainData, tmp_path: Path) -> None:
    run = run_config(epochs=1)
    state = fitted(untrained(run), run, data)
    checkpoint.save_checkpoint(tmp_path / "state", "abc", state)
    state.model.save_pretrained(tmp_path / "model", {})
    (path,) = checkpoint.list_checkpoints(tmp_path / "state")
    generator = np.random.default_rng(5)
    for case in range(CASES):
        target = (path, tmp_path / "model" / "weights.safetensors")[case % 2]
        whole = target.read_bytes()
        content = bytearray(whole)
        if case % 5 == 0:
            content = content[: generator.integers(len(content))]
        else:
            content[generator.integers(len(content))] ^= 1 << generator.integers(8)
        target.write_bytes(content)
        if target == path:
            fresh = untrained(run)
            assert not checkpoint.load_latest_checkpoint(tmp_path / "state", "abc", fresh)
        else:
            with pytest.raises(UserError, match="no usable model"):
                VAE.from_pretrained(tmp_path / "model")
        target.write_bytes(whole)
    assert checkpoint.load_latest_checkpoint(tmp_path / "state", "abc", untrained(run)), (
        "the whole one is"
    )


def test_only_the_last_two_checkpoints_are_kept(data: TrainData, tmp_path: Path) -> None:
    run = run_config()
    state = untrained(run)
    for _ in fit(state, run, data):
        checkpoint.save_checkpoint(tmp_path, "abc", state)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == [
        "epoch-00004.safetensors",
        "epoch-00003.safetensors",
    ]
    checkpoint.delete_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_comes_back_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    model = untrained(run_config()).model
    model.save_pretrained(tmp_path, {"fingerprint": "abc"})
    loaded = VAE.from_pretrained(tmp_path)
    assert json.loads((tmp_path / "model.json").read_text())["fingerprint"] == "abc"
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    content = (tmp_path / "weights.safetensors").read_bytes()
    for damaged in (content[:-10], b"", b"\x80\x04N."):
        (tmp_path / "weights.safetensors").write_bytes(damaged)
        with pytest.raises(UserError, match="no usable model"):
            VAE.from_pretrained(tmp_path)


def test_every_epoch_reports_each_term_and_they_add_up(data: TrainData) -> None:
    run = run_config("bernoulli", epochs=1)
    (epoch,) = fit(untrained(run), run, data)
    m = epoch.metrics
    for part in ("train", "val"):
        reconstruction, kl = m[f"{part}_reconstruction"], m[f"{part}_kl"]
        per_dim = m[f"{part}_reconstruction_per_dim"]
        assert m[f"{part}_loss"] == pytest.approx(per_dim + kl, rel=1e-5)
        assert reconstruction == pytest.approx(3072 * per_dim)
        assert m[f"{part}_negative_elbo"] == pytest.approx(reconstruction + kl)
        assert {f"{part}_mu_mean", f"{part}_logvar_mean"} <= m.keys()
    assert {"epoch", "learning_rate", "grad_norm"} <= m.keys()
    assert epoch.images_per_second > 0


def test_training_improves_and_the_plateau_lowers_the_learning_rate(data: TrainData) -> None:
    plateau = PLATEAU | {"factor": 0.1}
    run = run_config(epochs=12, learning_rate=3e-3, lr_scheduler=plateau)
    history = fitted(untrained(run), run, data).history
    assert history[-1]["train_negative_elbo"] < history[0]["train_negative_elbo"]
    rates = [row["learning_rate"] for row in history]
    assert rates[0] == 3e-3
    losses = [row["val_loss"] for row in history]
    worse = [i for i in range(1, 12) if losses[i] >= min(losses[:i])]
    assert all(rates[i + 1] < rates[i] for i in worse if i < 11)


def test_the_gradient_is_clipped_but_its_norm_is_reported_unclipped(data: TrainData) -> None:
    run = run_config(epochs=1, clip_grad_norm=1e-4)
    state = untrained(run)
    before = weights(state)
    (epoch,) = fit(state, run, data)
    assert epoch.metrics["grad_norm"] > 1
    assert all(p.grad is None or p.grad.norm() <= 1.01e-4 for p in state.model.parameters())
    assert weights(state) != before


def test_a_diverging_run_stops_at_once(data: TrainData) -> None:
    run = run_config(learning_rate=1e6, clip_grad_norm=1e30, epochs=50)
    steps = []
    with pytest.raises(UserError, match=r"diverged.*learning_rate"):
        for _ in fit(untrained(run), run, data, on_step=lambda: steps.append(1)):
            pass
    assert len(steps) < 30


def test_validation_covers_every_image_and_repeats_itself(data: TrainData) -> None:
    run = run_config()
    model = untrained(run).model.eval()
    everything = torch.cat([data.train_images] * 3)
    first = validate(model, everything, run.loss, 0, "test")
    assert first == validate(model, everything, run.loss, 0, "test")
    once = validate(model, data.train_images, run.loss, 0, "test")
    assert first["test_mu_mean"] == pytest.approx(once["test_mu_mean"], rel=1e-4)
