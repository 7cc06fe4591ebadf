"""Training repeats itself byte for byte, resumes byte for byte, and stops when it diverges."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CASES, ROOT

from pipeline import UserError
from pipeline.config.loader import load_config
from pipeline.config.schema import (
    Config,
    LossConfig,
    RecipeConfig,
    RunConfig,
    TrainConfig,
    deep_merge,
)
from pipeline.data import loader
from pipeline.models.layers import init_weights
from pipeline.models.vae import VAE
from pipeline.training import checkpoint
from pipeline.training.trainer import (
    TrainState,
    build_train_state,
    fit,
    init_weights_for_run,
    make_train_state,
    validate,
)

GAUSSIAN = LossConfig(likelihood="gaussian", variance="optimal", reduction="sum", beta=1.0)
BERNOULLI = LossConfig(likelihood="bernoulli", variance="optimal", reduction="mean", beta=1.0)


PLATEAU = {"kind": "plateau", "factor": 0.5, "patience": 0, "warmup": 5}


def settings(**changes: object) -> TrainConfig:
    values = {
        "epochs": 4, "batch_size": 64, "learning_rate": 1e-3, "clip_grad_norm": 100.0, "precision": "fp32",
        "linear_rate": 1.0, "compile": False, "threads": 1, "processes": 1,
        "scheduler": PLATEAU, "augment": {"flip": True, "crop_padding": 4},
    }  # fmt: skip  # two lines read better
    return TrainConfig.model_validate(values | changes)


def untrained(
    train: TrainConfig, likelihood: str = "gaussian", refined: bool = False
) -> TrainState:
    parts = {"refinement": [8, 8], "covariance": "local"} if refined else {}
    model = VAE([3, 32, 32], 6, [8, 8], likelihood, **parts)
    init_weights(model, torch.Generator().manual_seed(0))
    return make_train_state(model.to(memory_format=torch.channels_last), train, steps=5, seed=0)


def weights(state: TrainState) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in state.model.state_dict().values()]


@pytest.fixture(scope="module")
def images(small_images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(small_images[:250]), torch.from_numpy(small_images[250:])


def run(
    state: TrainState,
    images: tuple[torch.Tensor, torch.Tensor],
    train: TrainConfig,
    objective: LossConfig = GAUSSIAN,
) -> TrainState:
    for _ in fit(state, *images, objective, train, seed=0):
        pass
    return state


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_run_twice_is_the_same_bytes(images: tuple, precision: str) -> None:
    train = settings(precision=precision, epochs=2)
    first, second = run(untrained(train), images, train), run(untrained(train), images, train)
    assert weights(first) == weights(second)
    assert first.history == second.history


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
@pytest.mark.parametrize("kind", ["plateau", "cosine"])
def test_a_killed_run_resumes_to_the_same_bytes(
    images: tuple, tmp_path: Path, kind: str, stopped_after: int
) -> None:
    train = settings(scheduler=PLATEAU | {"kind": kind}, linear_rate=0.1)
    undisturbed = run(untrained(train, refined=True), images, train)
    killed = untrained(train, refined=True)
    for epoch in fit(killed, *images, GAUSSIAN, train, seed=0):
        killed.seconds.append(epoch.seconds)
        killed.cpu_seconds.append(epoch.cpu_seconds)
        checkpoint.save_checkpoint(tmp_path, "abc", killed)
        if epoch.metrics["epoch"] == stopped_after:
            break
    resumed = untrained(train, refined=True)
    assert checkpoint.load_latest_checkpoint(tmp_path, "abc", resumed)
    assert len(resumed.history) == stopped_after
    run(resumed, images, train)
    assert weights(resumed) == weights(undisturbed)
    assert resumed.history == undisturbed.history


def test_the_cosine_warms_up_and_ends_at_zero_in_both_groups(images: tuple) -> None:
    train = settings(epochs=2, scheduler=PLATEAU | {"kind": "cosine", "warmup": 2}, linear_rate=0.1)
    model = untrained(train, refined=True).model
    state = make_train_state(model, train, steps=4, seed=0)
    rates = [[group["lr"] for group in state.optimizer.param_groups]]
    for _ in fit(state, *images, GAUSSIAN, train, seed=0, on_step=lambda: rates.append(
        [group["lr"] for group in state.optimizer.param_groups])):  # fmt: skip  # what each step left
        pass
    convolutions, linear = zip(*rates, strict=True)
    assert len(rates) == 9
    assert convolutions[0] == pytest.approx(0.5e-3)
    assert max(convolutions) < 1e-3
    assert convolutions[-1] == pytest.approx(0, abs=1e-9)
    assert linear == pytest.approx([0.1 * rate for rate in convolutions])


@pytest.mark.parametrize("variant", load_config(ROOT / "params.yaml").variants)
def test_every_shipped_variant_trains_and_its_weights_rebuild_it(
    images: tuple, params: Config, tmp_path: Path, variant: str
) -> None:
    changes = {
        "data": {"validation": 50, "train_images": 250},
        "train": {"epochs": 1, "batch_size": 50},
    }
    recipe = RecipeConfig.model_validate(deep_merge(params.recipe(variant).model_dump(), changes))
    cell = RunConfig(variant=variant, latent_dim=4, seed=0, recipe=recipe)
    state = init_weights_for_run(
        build_train_state(cell, [3, 32, 32], 5, torch.device("cpu")), cell, images[0]
    )
    (epoch,) = fit(state, *images, recipe.objective, recipe.train, seed=0)
    assert all(math.isfinite(value) for value in epoch.metrics.values())
    checkpoint.save_model(tmp_path, state.model, {})
    rebuilt, _ = checkpoint.load_model(tmp_path)
    with torch.inference_mode():
        x = loader.to_float(images[1])
        assert torch.equal(
            rebuilt.decode(rebuilt.encode(x)[0]), state.model.decode(state.model.encode(x)[0])
        )


def test_foreign_and_torn_checkpoints_are_ignored_with_a_warning(
    images: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = settings(epochs=2)
    state = untrained(train)
    for _ in fit(state, *images, GAUSSIAN, train, seed=0):
        checkpoint.save_checkpoint(tmp_path, "abc", state)
    newest, older = checkpoint.list_checkpoints(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-100])
    fresh = untrained(train)
    assert checkpoint.load_latest_checkpoint(tmp_path, "abc", fresh)
    assert len(fresh.history) == 1, "the older one is used"
    assert f"{newest} ignored" in capsys.readouterr().out
    older.write_bytes(b"\x80\x04rubbish")
    untouched = untrained(train)
    before = weights(untouched)
    assert not checkpoint.load_latest_checkpoint(tmp_path, "abc", untouched)
    assert not checkpoint.load_latest_checkpoint(tmp_path, "other", untouched)
    assert weights(untouched) == before


@pytest.mark.fuzz
def test_no_altered_checkpoint_or_model_is_loaded(images: tuple, tmp_path: Path) -> None:
    train = settings(epochs=1)
    state = untrained(train)
    run(state, images, train)
    checkpoint.save_checkpoint(tmp_path / "state", "abc", state)
    checkpoint.save_model(tmp_path / "model", state.model, {})
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
            assert not checkpoint.load_latest_checkpoint(
                tmp_path / "state", "abc", untrained(train)
            )
        else:
            with pytest.raises(UserError, match="no usable model"):
                checkpoint.load_model(tmp_path / "model")
        target.write_bytes(whole)
    assert checkpoint.load_latest_checkpoint(tmp_path / "state", "abc", untrained(train)), (
        "the whole one is"
    )


def test_only_the_last_two_checkpoints_are_kept(images: tuple, tmp_path: Path) -> None:
    train = settings()
    state = untrained(train)
    for _ in fit(state, *images, GAUSSIAN, train, seed=0):
        checkpoint.save_checkpoint(tmp_path, "abc", state)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == [
        "epoch-00004.safetensors",
        "epoch-00003.safetensors",
    ]
    checkpoint.delete_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_comes_back_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    model = untrained(settings()).model
    checkpoint.save_model(tmp_path, model, {"fingerprint": "abc"})
    loaded, about = checkpoint.load_model(tmp_path)
    assert about["fingerprint"] == "abc"
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    content = (tmp_path / "weights.safetensors").read_bytes()
    for changed_outputs in (content[:-10], b"", b"\x80\x04N."):
        (tmp_path / "weights.safetensors").write_bytes(changed_outputs)
        with pytest.raises(UserError, match="no usable model"):
            checkpoint.load_model(tmp_path)


def test_every_epoch_reports_each_term_and_they_add_up(images: tuple) -> None:
    train = settings(epochs=1)
    (epoch,) = fit(untrained(train, "bernoulli"), *images, BERNOULLI, train, seed=0)
    m = epoch.metrics
    for part in ("train", "validation"):
        assert m[f"{part}_total_loss"] == pytest.approx(
            m[f"{part}_reconstruction_per_dim"] + m[f"{part}_kl"], rel=1e-5
        )
        assert m[f"{part}_reconstruction"] == pytest.approx(
            3072 * m[f"{part}_reconstruction_per_dim"]
        )
        assert m[f"{part}_negative_elbo"] == pytest.approx(
            m[f"{part}_reconstruction"] + m[f"{part}_kl"]
        )
    assert {"epoch", "learning_rate", "grad_norm", "train_mu_mean", "train_logvar_mean"} <= m.keys()
    assert epoch.images_per_second > 0


def test_training_improves_and_the_plateau_lowers_the_learning_rate(images: tuple) -> None:
    train = settings(epochs=12, learning_rate=3e-3, scheduler=PLATEAU | {"factor": 0.1})
    history = run(untrained(train), images, train).history
    assert history[-1]["train_negative_elbo"] < history[0]["train_negative_elbo"]
    rates = [row["learning_rate"] for row in history]
    assert rates[0] == 3e-3
    worse = [
        i
        for i in range(1, 12)
        if history[i]["validation_total_loss"]
        >= min(r["validation_total_loss"] for r in history[:i])
    ]
    assert all(rates[i + 1] < rates[i] for i in worse if i < 11)


def test_the_gradient_is_clipped_but_its_norm_is_reported_unclipped(images: tuple) -> None:
    train = settings(epochs=1, clip_grad_norm=1e-4)
    state = untrained(train)
    before = weights(state)
    (epoch,) = fit(state, *images, GAUSSIAN, train, seed=0)
    assert epoch.metrics["grad_norm"] > 1
    assert all(p.grad is None or p.grad.norm() <= 1.01e-4 for p in state.model.parameters())
    assert weights(state) != before


def test_a_diverging_run_stops_at_once(images: tuple) -> None:
    train = settings(learning_rate=1e6, clip_grad_norm=1e30, epochs=50)
    steps = []
    with pytest.raises(UserError, match=r"diverged.*learning_rate"):
        for _ in fit(
            untrained(train), *images, GAUSSIAN, train, seed=0, on_step=lambda: steps.append(1)
        ):
            pass
    assert len(steps) < 30


def test_validation_covers_every_image_and_repeats_itself(images: tuple) -> None:
    model = untrained(settings()).model.eval()
    everything = torch.cat([images[0]] * 3)
    first = validate(model, everything, GAUSSIAN, 0, "test")
    assert first == validate(model, everything, GAUSSIAN, 0, "test")
    assert first["test_mu_mean"] == pytest.approx(
        validate(model, images[0], GAUSSIAN, 0, "test")["test_mu_mean"], rel=1e-4
    )
