"""The columns of summary.csv with their units, and the tables that the report makes of them."""

from pipeline.evaluation.samples import PRIORS

MEASURES = ("fd", "kd", "precision", "recall", "density", "coverage")
IMAGE_SETS = ("reconstruction", *PRIORS)
RUN = ("variant", "latent_dim", "seed")


def per_image_set(*measures: str) -> dict[str, str]:
    return {f"{measure}_{of}": "" for measure in measures for of in IMAGE_SETS}


# The report's tables in order, each with its columns and their units; what they mean is in the catalogues.
TABLES: dict[str, dict[str, str]] = {
    "used": {
        "epochs": "", "collapse": "", "active_units": "dimensions", "kl": "nats/image", "shuffle_gain": "",
        "mutual_information": "nats", "probe_accuracy": "", "train_total_loss": "nats",
        "train_reconstruction_per_dim": "nats/dim", "train_kl": "nats/image", "train_mean_image_bce": "nats/dim",
    },
    "quality": {
        "psnr_db": "dB", "pca_psnr_db": "dB", "psnr_db_mean_of_images": "dB", "ssim": "", "bce": "nats/dim",
        "explained_information": "", "bits_per_dim": "bits/dim", "pca_bits_per_dim": "bits/dim",
        "test_negative_elbo": "nats/image",
    },
    "sets": per_image_set("fd", "kd") | {"neighbour_distance_ratio": ""},
    "coverage": per_image_set("precision", "recall", "density", "coverage"),
    "cost": {"parameters": "", "forward_flops": "FLOP/image", "train_seconds": "s", "images_per_second": "images/s"},
}  # fmt: skip  # one key a line would hide the tables' shape

# Of summary.csv: one row a run.
UNITS: dict[str, str] = dict.fromkeys(RUN, "") | {
    k: unit for table in TABLES.values() for k, unit in table.items()
}
# Of the clock, not of the parameters: they alone differ between equal studies.
MEASURED_TIMES = ("train_seconds", "images_per_second")

DIGITS = {"psnr_db": 2, "psnr_db_mean_of_images": 2, "pca_psnr_db": 2, "test_negative_elbo": 1, "kl": 2,
          "mutual_information": 2}  # fmt: skip  # a short table
DIGITS |= dict.fromkeys(("latent_dim", "seed", "epochs", "active_units", *TABLES["cost"]), 0)
DIGITS |= {f"fd_{of}": 1 for of in (*IMAGE_SETS, "samples")} | {
    "parameters_ratio": 2,
    "forward_flops_ratio": 2,
}

NARROW_SPACE = (
    "\u202f"  # one that does not break, and no comma, which is a decimal point in Ukrainian
)


def format_cell(column: str, value: object) -> str:
    """A cell: four decimals unless DIGITS says otherwise, thousands apart, a dash for nothing."""
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return "–"
    return f"{value:z,.{DIGITS.get(column.removesuffix('_gain'), 4)}f}".replace(",", NARROW_SPACE)
