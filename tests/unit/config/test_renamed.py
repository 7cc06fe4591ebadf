"""A params.yaml of before the renaming is refused with the edits that it needs."""

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from pipeline import UserError
from pipeline.config import renamed
from pipeline.config.grid import Config
from pipeline.config.loader import load_config
from pipeline.storage.yaml_io import dump_yaml, read_yaml

# The shipped params.yaml as it was before any key was renamed.
OLDER = Path(__file__).with_name("older_params.yaml")
OF_VARIANTS = [key for key in renamed.KEYS if key.split(".")[0] in renamed.VARIANT_SECTIONS]


def shipped() -> dict[str, Any]:
    return read_yaml(ROOT / "params.yaml")


def refusal(folder: Path, document: dict[str, Any]) -> str:
    """What is said of a params.yaml, without the file's name."""
    path = folder / "params.yaml"
    path.write_text(dump_yaml(document))
    with pytest.raises(UserError) as caught:
        load_config(path)
    return str(caught.value).removeprefix(f"{path}: ")


def put(part: dict[str, Any], key: str, value: Any) -> None:
    """Add a dotted key, its sections if need be."""
    *sections, last = key.split(".")
    for section in sections:
        part = part.setdefault(section, {})
    part[last] = value


@pytest.mark.parametrize("key", renamed.KEYS)
def test_an_old_key_in_todays_file_is_named_with_its_new_name(tmp_path: Path, key: str) -> None:
    document = shipped()
    put(document, key, 1)
    message = refusal(tmp_path, document)
    assert message == f"renamed since this file was written: {key} -> {renamed.KEYS[key]}"


@pytest.mark.parametrize("key", OF_VARIANTS)
def test_an_old_key_in_a_variant_is_named_with_its_new_name(tmp_path: Path, key: str) -> None:
    document = shipped()
    document["variants"]["original"] = {}
    put(document["variants"]["original"], key, 1)
    message = refusal(tmp_path, document)
    old, _, new = message.removeprefix("renamed since this file was written: ").partition(" -> ")
    assert old == f"variants.original.{key}"
    # A variant cannot say where a dataset is read from.
    where = "" if key == "data.source" else "variants.original."
    assert new == f"{where}{renamed.KEYS[key]}"


def test_every_new_name_is_a_key_of_today() -> None:
    document = shipped()
    for new_key in renamed.KEYS.values():
        if new_key.startswith("nothing: "):
            continue
        part: Any = document
        for name in new_key.split("."):
            assert name in part, new_key
            part = part[name]
    assert set(renamed.VARIANTS.values()) <= set(document["variants"])


@pytest.mark.parametrize("section", renamed.SECTIONS)
def test_an_old_section_is_named_once_and_its_keys_with_it(tmp_path: Path, section: str) -> None:
    document = shipped()
    new = renamed.SECTIONS[section]
    document[section] = document.pop(new)
    message = refusal(tmp_path, document)
    assert message == f"renamed since this file was written: {section} -> {new}"


def test_an_old_section_in_a_variant_is_named(tmp_path: Path) -> None:
    document = shipped()
    document["variants"]["bernoulli"] = {"objective": {"likelihood": "bernoulli", "variance": 1.0}}
    assert refusal(tmp_path, document).splitlines()[1:] == [
        "  variants.bernoulli.objective -> variants.bernoulli.loss",
        "  variants.bernoulli.objective.variance -> variants.bernoulli.loss.decoder_variance",
    ]


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("model.block", "plain", "none"),
        ("model.block", "deeper", "conv"),
        ("model.noise", "local", "heteroscedastic"),
    ],
)
def test_an_old_value_is_named_with_its_new_name(
    tmp_path: Path, key: str, old: str, new: str
) -> None:
    document = shipped()
    put(document, key, old)
    assert refusal(tmp_path, document).endswith(f"{key}: {old} -> {new}")
    document = shipped()
    put(document["variants"]["residual"], key, old)
    assert refusal(tmp_path, document).endswith(f"variants.residual.{key}: {old} -> {new}")


def test_an_old_value_of_an_old_key_is_named_under_the_new_key(tmp_path: Path) -> None:
    document = shipped()
    document["model"]["covariance"] = "local"
    assert refusal(tmp_path, document).splitlines()[1:] == [
        "  model.covariance -> model.noise",
        "  model.noise: local -> heteroscedastic",
    ]


@pytest.mark.parametrize("variant", renamed.VARIANTS)
def test_an_old_variant_is_named_with_its_new_name(tmp_path: Path, variant: str) -> None:
    document = shipped()
    document["grid"]["variants"] = [variant]
    message = refusal(tmp_path, document)
    assert f"grid.variants names {variant!r}" in message
    assert message.endswith(f"\n  renamed: {variant} -> {renamed.VARIANTS[variant]}")
    document = shipped()
    document["report"]["baseline"] = variant
    message = refusal(tmp_path, document)
    assert f"report.baseline is {variant!r}" in message
    assert message.endswith(f"\n  renamed: {variant} -> {renamed.VARIANTS[variant]}")


def test_a_variant_of_ones_own_may_have_an_old_name(tmp_path: Path) -> None:
    document = shipped()
    document["variants"] |= {old: {} for old in renamed.VARIANTS}
    document["grid"]["variants"] = list(renamed.VARIANTS)
    assert Config.model_validate(document).grid.variants == list(renamed.VARIANTS)
    document["report"]["baseline"] = "orignal"
    assert "renamed" not in refusal(tmp_path, document)


def test_a_whole_old_file_is_refused_with_every_edit(tmp_path: Path) -> None:
    message = refusal(tmp_path, read_yaml(OLDER))
    edits = [line.strip() for line in message.splitlines()[1:]]
    assert len(edits) == len(set(edits))
    for old, new in (renamed.SECTIONS | renamed.KEYS).items():
        # The table has keys under today's sections, a file under those of its time.
        written = old.replace("loss.", "objective.").replace(
            "train.lr_scheduler", "train.scheduler"
        )
        assert f"{written} -> {new}" in edits
    for old, new in renamed.VARIANTS.items():
        assert f"variants.{old} -> variants.{new}" in edits
    assert "variants.deeper.model.block: deeper -> conv" in edits
    assert "variants.calibrated.model.noise: local -> heteroscedastic" in edits


def test_the_edits_of_an_old_file_make_it_todays() -> None:
    """What the message says, done by hand to the old file, gives the shipped parameters."""
    document = read_yaml(OLDER)
    source = document["data"].pop("source")
    del document["tracking"]["champion_is_least"]
    document = renamed_tree(document)
    document["download"] = {"source": source}
    old_names = renamed.VARIANTS
    variants = document["variants"].items()
    document["variants"] = {
        old_names.get(name, name): renamed_tree(changes) for name, changes in variants
    }
    document["grid"]["variants"] = [old_names[name] for name in document["grid"]["variants"]]
    # What has changed since the names did.
    document["variants"]["pca_refined"]["model"]["noise"] = "causal"
    document["variants"]["linear"] = {"model": {"block": "linear"}}
    document["model"] |= {"flow_channels": None, "flow_blocks": 2}
    document["train"] |= {"ema_half_life": None, "epochs": 16}
    document["variants"]["original"]["train"]["epochs"] = 50
    document["variants"] |= {n: v for n, v in shipped()["variants"].items() if "flow" in n}
    assert Config.model_validate(document) == Config.model_validate(shipped())


def renamed_tree(part: dict[str, Any], parent: str = "") -> dict[str, Any]:
    """The same keys and values under today's names."""
    result: dict[str, Any] = {}
    for name, value in part.items():
        key = f"{parent}{name}"
        new_key = renamed.KEYS.get(key) or renamed.SECTIONS.get(key) or key
        values = renamed.VALUES.get(new_key, {})
        inner = isinstance(value, dict)
        new_value = renamed_tree(value, f"{new_key}.") if inner else value
        is_renamed = isinstance(value, str) and value in values
        result[new_key.rpartition(".")[2]] = values[value] if is_renamed else new_value
    return result
