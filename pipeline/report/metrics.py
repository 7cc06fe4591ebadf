"""The registry of metrics."""


def greater_is_better(key: str) -> bool:
    return not key.startswith(("fd_", "kd_", "bits", "mse", "bce", "val_loss", "test_"))
