"""pythae's own trainer on the network of `original` and preloaded tensors.

`make bench` runs it in an environment of its own: `python -m benchmarks.pythae IMAGES THREADS`.
Prints one JSON object like benchmarks/loops.py.
"""

import json
import logging
import sys
import tempfile
import time
from itertools import pairwise

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import nn

CHANNELS = [3, 32, 64, 128, 256]
LATENT_DIM = 128
BATCH_SIZE = 64
EPOCHS = 3
FEATURES = CHANNELS[-1] * 2 * 2


class Encoder(BaseEncoder):
    def __init__(self) -> None:
        super().__init__()
        pairs = [[nn.Conv2d(a, b, 4, 2, 1), nn.ReLU()] for a, b in pairwise(CHANNELS)]
        self.body = nn.Sequential(*[layer for pair in pairs for layer in pair])
        self.mu = nn.Linear(FEATURES, LATENT_DIM)
        self.logvar = nn.Linear(FEATURES, LATENT_DIM)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        hidden = self.body(x).flatten(1)
        return ModelOutput(embedding=self.mu(hidden), log_covariance=self.logvar(hidden))


class Decoder(BaseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Linear(LATENT_DIM, FEATURES)
        sizes = pairwise(CHANNELS[::-1])
        pairs = [[nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1)] for a, b in sizes]
        self.body = nn.Sequential(*[layer for pair in pairs for layer in pair], nn.Sigmoid())

    def forward(self, z: torch.Tensor) -> ModelOutput:
        return ModelOutput(
            reconstruction=self.body(self.expand(z).unflatten(1, (CHANNELS[-1], 2, 2)))
        )


class Clock(TrainingCallback):
    """When each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_epoch_end(self, training_config: BaseTrainerConfig, **_: object) -> None:
        self.ends.append(time.perf_counter())


def main() -> None:
    count, threads = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    logging.disable()
    images = np.load("data/cifar10/train_images.npy", allow_pickle=False)[:count]
    pixels = torch.from_numpy(images).float() / 255
    config = VAEConfig(input_dim=(3, 32, 32), latent_dim=LATENT_DIM, reconstruction_loss="bce")
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        chosen = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1 + EPOCHS,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=1e-3,
            no_cuda=True,
        )
        model = VAE(config, encoder=Encoder(), decoder=Decoder())
        data = BaseDataset(pixels, torch.zeros(count))
        trainer = BaseTrainer(model, data, None, chosen, callbacks=[clock])
        trainer.train()
    print(json.dumps({"speeds": [count / (end - start) for start, end in pairwise(clock.ends)]}))


if __name__ == "__main__":
    main()
