"""Every wrong params.yaml gives one clear message: the key, the value and what is allowed."""

from pathlib import Path
from typing import Any

import pytest
from conftest import CASES, ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import UserError
from pipeline.config.grid import Config, RecipeConfig, RunConfig, deep_merge
from pipeline.config.loader import load_config
from pipeline.storage.yaml_io import dump_yaml, read_yaml


def written(folder: Path, **changes: Any) -> Path:
    """The shipped params.yaml with dotted keys replaced."""
    document = read_yaml(ROOT / "params.yaml")
    for key, value in changes.items():
        *sections, last = key.split("__")
        part = document
        for section in sections:
            part = part[section]
        part[last] = value
    return saved(folder, document)


def saved(folder: Path, document: Any) -> Path:
    path = folder / "params.yaml"
    path.write_text(dump_yaml(document))
    return path


def complaint(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.count("\n") <= 1, message
    assert str(path) in message
    return message


BAD = [
    ({"train__epoch": 3}, ["train.epoch", "unknown key"]),
    ({"extra": {}}, ["extra", "unknown key"]),
    ({"grid__variants": ["orignal"]}, ["orignal", "original, ", ", sigma_vae"]),
    ({"grid__variants": []}, ["grid.variants", "at least 1"]),
    (
        {"variants__original__data": {"dataset": "mnist"}},
        ["variants.original.data.dataset", "'mnist'", "one dataset", "'cifar10'"],
    ),
    ({"grid__latent_dims": [0]}, ["grid.latent_dims[0]", "greater than 0", "0"]),
    ({"grid__latent_dims": [-1]}, ["grid.latent_dims[0]", "greater than 0", "-1"]),
    ({"grid__latent_dims": [64, 1.5]}, ["grid.latent_dims[1]", "integer", "1.5"]),
    ({"grid__latent_dims": ["64"]}, ["grid.latent_dims[0]", "integer", "'64'"]),
    ({"grid__latent_dims": [True]}, ["grid.latent_dims[0]", "integer", "True"]),
    ({"grid__latent_dims": [64, 128, 64]}, ["latent_dims", "repeats 64"]),
    ({"grid__latent_dims": []}, ["grid.latent_dims", "at least 1"]),
    ({"grid__latent_dims": [100000]}, ["grid.latent_dims[0]", "3072", "100000"]),
    ({"grid__seeds": []}, ["grid.seeds", "at least 1"]),
    ({"grid__seeds": [0, 0]}, ["seeds", "repeats 0"]),
    ({"train__learning_rate": 0}, ["train.learning_rate", "greater than 0"]),
    ({"train__learning_rate": -0.1}, ["train.learning_rate", "greater than 0", "-0.1"]),
    ({"train__learning_rate": float("nan")}, ["train.learning_rate", "nan"]),
    ({"train__learning_rate": float("inf")}, ["train.learning_rate", "finite"]),
    ({"train__batch_size": 50_001}, ["train.batch_size", "50001", "45000"]),
    ({"data__dataset": "imagenet"}, ["data.dataset", "'cifar10'", "'imagenet'"]),
    ({"data__val_size": 50_000}, ["val_size is 50000", "20 to 49999"]),
    ({"data__train_size": 48_000}, ["train_size is 48000", "1 to 45000"]),
    (
        {"loss__decoder_variance": -1.0},
        ["loss.decoder_variance", "'optimal' or greater than or equal to", "-1.0"],
    ),
    ({"loss__decoder_variance": 1e300}, ["loss.decoder_variance", "1e+300"]),
    ({"loss__beta": 1e300}, ["loss.beta", "1e+300"]),
    ({"model__fixed_posterior_variance": 1e-300}, ["fixed_posterior_variance", "1e-300"]),
    ({"train__num_threads": 100_000}, ["train.num_threads", "1024", "100000"]),
    ({"train": 3}, ["train: should be a section", "3"]),
    (
        {"variants__pca_refined": {"train": {"epoch": 1}}},
        ["variants.pca_refined.train.epoch", "unknown key"],
    ),
    ({"variants__pca_refined": {"trian": {}}}, ["variants.pca_refined.trian", "unknown key"]),
    (
        {"variants__pca_refined": {"train": {"batch_size": 90_000}}},
        ["variants.pca_refined", "90000"],
    ),
    ({"variants__original": {"train": 3}}, ["variants.original.train"]),
    ({"report__num_images": 10_000}, ["report.num_images", "10000"]),
    (
        {"report__baseline": "sigma_vae"},
        ["report.baseline", "sigma_vae", "null, original, pca_refined"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), BAD, ids=[str(changes) for changes, _ in BAD])
def test_a_bad_value_is_named_with_what_is_allowed(
    tmp_path: Path, changes: dict, expected: list[str]
) -> None:
    message = complaint(written(tmp_path, **changes))
    for words in expected:
        assert words in message


@pytest.mark.parametrize(
    "text",
    ["grid: [", "a: b: c", "- 1\n- 2", "", "just words", "\t", "x: !!python/object:os.system 1"],
)
def test_what_is_not_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    complaint(path)


def test_a_missing_file_and_a_binary_file_are_refused(tmp_path: Path) -> None:
    complaint(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    complaint(tmp_path / "params.yaml")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    document = read_yaml(ROOT / "params.yaml")
    del document["train"]["epochs"]
    assert "train.epochs: missing" in complaint(saved(tmp_path, document))


def test_scientific_notation_is_a_number_as_in_dvc(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("learning_rate: 0.001", "learning_rate: 1e-4"))
    assert load_config(path).train.learning_rate == 1e-4


def test_a_variant_changes_only_what_it_names(params) -> None:
    recipe = params.recipe("original")
    assert recipe.loss.likelihood == "bernoulli"
    assert recipe.loss.beta == params.loss.beta
    assert recipe.train.lr_scheduler.name == "plateau"
    assert recipe.train.learning_rate == params.train.learning_rate
    assert params.recipe("sigma_vae").train == params.train


def test_the_grid_is_the_product_in_the_order_of_the_file(params) -> None:
    names = [run.name for run in params.runs]
    assert names[:2] == ["original-64-0", "original-128-0"]
    grid = params.grid
    assert len(names) == len(grid.variants) * len(grid.latent_dims) * len(grid.seeds)


def test_a_run_is_its_variants_recipe_at_a_size_with_a_seed(params) -> None:
    run = params.run("pca_refined-256-0")
    assert (run.variant, run.latent_dim, run.seed) == ("pca_refined", 256, 0)
    assert RecipeConfig(**{key: getattr(run, key) for key in RecipeConfig.model_fields}) == (
        params.recipe("pca_refined")
    )
    assert RunConfig.model_validate(run.to_dict()) == run


def test_the_ablation_compares_every_variant_that_does_not_collapse(params) -> None:
    preset = read_yaml(ROOT / "pipeline" / "presets" / "ablation.yaml")
    ablation = Config.model_validate(deep_merge(read_yaml(ROOT / "params.yaml"), preset))
    flows = {name for name in params.variants if name.startswith("flow")}
    assert set(ablation.grid.variants) == set(params.variants) - {"original"} - flows
    assert ablation.report.baseline == "sigma_vae"


def test_an_unknown_run_is_refused_with_the_known_ones(params) -> None:
    with pytest.raises(UserError, match="original-64-0"):
        params.run("original-65-0")


def test_merging_does_not_change_its_arguments() -> None:
    base = {"a": {"b": 1, "c": 2}}
    assert deep_merge(base, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}
    assert base == {"a": {"b": 1, "c": 2}}


def leaves(part: Any, key: tuple = ()) -> list[tuple]:
    if isinstance(part, dict) and part:
        return [leaf for name, value in part.items() for leaf in leaves(value, (*key, name))]
    return [key]


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@pytest.mark.fuzz
@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(key=st.sampled_from(leaves(read_yaml(ROOT / "params.yaml"))), value=JUNK)
def test_any_value_anywhere_validates_or_is_refused_clearly(
    tmp_path: Path, key: tuple, value: Any
) -> None:
    path = written(tmp_path, **{"__".join(map(str, key)): value})
    assert len(outcome(path).splitlines()) <= 2


YAML_TEXT = st.text(alphabet="abstudy: -[]{}#&*!|>'\"%@`\n\t0123.~\x00é", max_size=60)


@pytest.mark.fuzz
@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=YAML_TEXT, at=st.floats(0, 1))
def test_any_text_inserted_anywhere_validates_or_is_refused_clearly(
    tmp_path: Path, text: str, at: float
) -> None:
    whole = (ROOT / "params.yaml").read_text()
    cut = int(at * len(whole))
    path = tmp_path / "params.yaml"
    path.write_text(whole[:cut] + text + whole[cut:])
    assert len(outcome(path).splitlines()) <= 2


def outcome(path: Path) -> str:
    try:
        load_config(path)
    except UserError as error:
        return str(error)
    return "valid"
