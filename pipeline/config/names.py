"""Names that MLflow knows a study by: its experiment and its registered model."""

import re

MAX_LENGTH = 250


def experiment_name(name: str) -> str:
    """Return the name; ValueError where a store, a page or a command line could not bear it."""
    if name != name.strip() or not name.isprintable() or len(name) > MAX_LENGTH:
        raise ValueError(
            f"a name has 1 to {MAX_LENGTH} printable characters, no space at either end"
        )
    if name == "Default":
        # Its runs would keep their artifacts in ./mlruns of whatever folder made the store.
        raise ValueError("Default is MLflow's own experiment; choose another name")
    if not model_name(name):
        raise ValueError("a name has at least one letter or digit")
    return name


def model_name(experiment: str) -> str:
    """Return the registered model's name: MLflow forbids `/` and `:` there, and quotes in queries.

    `/Users/me/vae` is `Users-me-vae`.
    """
    return re.sub(r"\s*[^\w .-]+\s*", "-", experiment).strip("-. ")
