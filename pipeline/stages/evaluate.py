"""Measure one run on the test images: its model and samples, data/ and the baselines -> reports/metrics/<run>.json."""

import torch

from pipeline import StudyError, atomic, checkpoint
from pipeline.data import batches, datasets
from pipeline.metrics.evaluation import Subject, evaluate
from pipeline.metrics.features import extractor
from pipeline.metrics.references import read_baselines
from pipeline.metrics.sets import read_tensors
from pipeline.params import Params, Run
from pipeline.paths import Paths
from pipeline.pictures import mosaic
from pipeline.reading import read_csv
from pipeline.tracking.files import identity_of, log_evaluation

SHOWN = 10


@torch.inference_mode()
def main(run: Run, params: Params, paths: Paths) -> None:
    model, _ = checkpoint.load_model(paths.model(run.name))
    dataset, chosen = datasets.load(paths.dataset(params.data.dataset)), params.evaluate
    indices, _ = batches.split(len(dataset.train_images), params.data.validation, params.data.train_images)
    train = indices.numpy()[: max(chosen.features, chosen.probe_images)]
    subject = Subject(
        run,
        model,
        read_csv(paths.model(run.name) / "history.csv"),
        torch.tensor(dataset.test_images[: chosen.images]),
        dataset.test_labels[: chosen.images],
        torch.from_numpy(dataset.train_images[train]),
        dataset.train_labels[train],
        read_tensors(paths.samples(run.name) / "drawn.safetensors"),
    )
    extract = extractor(chosen.extractor, chosen.extractor_weights)
    result = evaluate(subject, read_baselines(paths.baselines), extract, chosen)
    nearest = subject.train_images[result.neighbours.nearest[:SHOWN]]
    shown = torch.stack([subject.drawn[result.best_prior][: len(nearest)], nearest]).numpy()
    atomic.write_text(paths.dimensions(run.name), result.dimensions.to_csv(index=False))
    atomic.write_bytes(paths.neighbours(run.name), mosaic(shown))
    atomic.write_json(paths.metrics(run.name), result.metrics)
    log_evaluation(identity_of(run.name, params.tracking.experiment, paths))
    verdict = f"{run.name}: {result.metrics['collapse']}: {result.metrics['collapse_reason']}"
    print(verdict, flush=True)
    if chosen.fail_on_collapse and result.metrics["collapsed"]:
        raise StudyError(f"{verdict}; evaluate.fail_on_collapse is true")
