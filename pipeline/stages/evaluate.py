"""Measure one run on the test images: its model and samples, data/ and the baselines -> reports/metrics/<run>.json."""

import torch

from pipeline import UserError
from pipeline.storage import atomic
from pipeline.training import checkpoint
from pipeline.data import loader, dataset as dataset_files
from pipeline.evaluation.evaluator import EvalInputs, evaluate
from pipeline.evaluation.features import load_feature_extractor
from pipeline.evaluation.references import read_baselines
from pipeline.storage.reading import read_tensors
from pipeline.config.schema import Config, RunConfig
from pipeline.config.paths import Paths
from pipeline.data.images import grid_png
from pipeline.storage.reading import read_csv
from pipeline.config.run_record import load_run_record
from pipeline.tracking.artifacts import log_evaluation

SHOWN = 10


@torch.inference_mode()
def main(run: RunConfig, params: Config, paths: Paths) -> None:
    model, _ = checkpoint.load_model(paths.model(run.name))
    dataset, chosen = dataset_files.load(paths.dataset(params.data.dataset)), params.evaluate
    indices, _ = loader.train_val_split(len(dataset.train_images), params.data.validation, params.data.train_images)
    train = indices.numpy()[: max(chosen.features, chosen.probe_images)]
    subject = EvalInputs(
        run,
        model,
        read_csv(paths.model(run.name) / "history.csv"),
        torch.tensor(dataset.test_images[: chosen.images]),
        dataset.test_labels[: chosen.images],
        torch.from_numpy(dataset.train_images[train]),
        dataset.train_labels[train],
        read_tensors(paths.samples(run.name) / "drawn.safetensors"),
    )
    extract = load_feature_extractor(chosen.load_feature_extractor, chosen.extractor_weights)
    result = evaluate(subject, read_baselines(paths.baselines), extract, chosen)
    nearest = subject.train_images[result.neighbors.nearest[:SHOWN]]
    shown = torch.stack([subject.drawn[result.best_prior][: len(nearest)], nearest]).numpy()
    atomic.write_text(paths.dimensions(run.name), result.dimensions.to_csv(index=False))
    atomic.write_bytes(paths.neighbors(run.name), grid_png(shown))
    atomic.write_json(paths.metrics(run.name), result.metrics)
    log_evaluation(load_run_record(run.name, params.tracking.experiment, paths))
    verdict = f"{run.name}: {result.metrics['collapse']}: {result.metrics['collapse_reason']}"
    print(verdict, flush=True)
    if chosen.fail_on_collapse and result.metrics["collapsed"]:
        raise UserError(f"{verdict}; evaluate.fail_on_collapse is true")
