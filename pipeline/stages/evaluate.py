"""Measure one run on the test images: models/<run>/, data/ and the baselines -> reports/metrics/<run>.json."""

import torch

from pipeline import atomic, checkpoint
from pipeline.data import datasets
from pipeline.metrics.evaluation import evaluate, read_baselines
from pipeline.params import Params, Run
from pipeline.paths import Paths
from pipeline.reading import read_csv
from pipeline.tracking.files import identity_of, log_evaluation


@torch.inference_mode()
def main(run: Run, params: Params, paths: Paths) -> None:
    folder = paths.model(run.name)
    model, _ = checkpoint.load_model(folder)
    dataset = datasets.load(paths.dataset(params.data.dataset))
    test_images = torch.tensor(dataset.test_images[: params.evaluate.images])
    history = read_csv(folder / "history.csv")
    result = evaluate(run, model, test_images, read_baselines(paths.baselines), history, params.evaluate)
    atomic.write_text(paths.dimensions(run.name), result.dimensions.to_csv(index=False))
    atomic.write_json(paths.metrics(run.name), result.metrics)
    log_evaluation(identity_of(run.name, params.tracking.experiment, paths))
    print(f"{run.name}: {result.metrics['collapse']}: {result.metrics['collapse_reason']}", flush=True)
