"""The locks pin what pyproject.toml asks for: once, on every Python, and from nowhere by name."""

import re
import tomllib

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PYTHONS = ("3.11", "3.12", "3.13")
LOCKS = ("requirements.lock", "requirements-cuda.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(python: str) -> list[Requirement]:
    """Everything that is pinned on Linux for this Python."""
    lines = [line for name in LOCKS for line in (ROOT / name).read_text().splitlines()]
    pinned = [Requirement(line) for line in lines if not line.startswith(("#", "-c"))]
    system = {"python_version": python, "python_full_version": f"{python}.0"}
    system |= {"sys_platform": "linux", "platform_machine": "x86_64"}
    return [pin for pin in pinned if pin.marker is None or pin.marker.evaluate(system)]


@pytest.mark.parametrize("python", PYTHONS)
def test_everything_asked_for_is_pinned_once(python: str) -> None:
    versions = {canonicalize_name(pin.name): str(pin.specifier) for pin in pins(python)}
    assert len(versions) == len(pins(python)) > 250
    assert all(re.fullmatch(r"==[\w.]+", version) for version in versions.values())
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    for wanted in map(Requirement, asked):
        version = versions[canonicalize_name(wanted.name)].removeprefix("==")
        assert wanted.specifier.contains(version), wanted


def test_no_lock_names_where_packages_come_from() -> None:
    for name in LOCKS:
        assert "://" not in (ROOT / name).read_text()


def test_the_project_make_and_the_metadata_name_the_same_pythons() -> None:
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}" in allowed] == list(PYTHONS)
    named = [
        line.removeprefix("Programming Language :: Python :: ") for line in PROJECT["classifiers"]
    ]
    assert named == list(PYTHONS)
    makefile = (ROOT / "Makefile").read_text()
    assert f"PYTHONS := {' '.join(f'python{version}' for version in PYTHONS)} python3\n" in makefile
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in makefile
