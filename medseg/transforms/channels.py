"""Chance over channels: colours of a camera, sequences that a hospital didn't take."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.config import KeysCollection

from medseg.errors import TrainingError
from medseg.transforms.intensities import RandIntensityd

# Luma of ITU-R BT.601, section 2.5.1.
_GREY = (0.299, 0.587, 0.114)


class RandChannelDropoutd(RandIntensityd):
    """Replaces channels by a constant, so that a network learns to do without a missing modality.

    Each channel goes with the chance `each`, but never all: one that is drawn stays.

    Args:
        keys: images of shape (channel, …).
        prob: chance that any channel may go.
        each: chance for each channel.
        value: what a missing channel holds, as in inference; 0 is the mean of a normalised image.
    """

    def __init__(
        self, keys: KeysCollection, prob: float = 0.2, each: float = 0.5, value: float = 0.0
    ) -> None:
        super().__init__(keys, prob)
        self.each, self.value = each, value

    def changed(self, image: torch.Tensor) -> torch.Tensor:
        """The image without some of its channels."""
        gone = self.R.random(image.shape[0]) < self.each
        gone[self.R.randint(image.shape[0])] = False
        result = image.clone()
        result[torch.from_numpy(gone)] = self.value
        return result


class RandColourJitterd(RandIntensityd):
    """Changes brightness, contrast, saturation and hue, in this order, of an RGB image.

    Args:
        keys: images of shape (3, x, y[, z]).
        prob: of any change.
        brightness, contrast, saturation: greatest relative change.
        hue: greatest turn of the colour circle, as a share of it.
        black, white: the values that the darkest and the brightest colour have in the image.

    Raises:
        TrainingError: when called, an image that hasn't three channels.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.8,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.2,
        hue: float = 0.05,
        *,
        black: float = 0.0,
        white: float = 1.0,
    ) -> None:
        super().__init__(keys, prob)
        self.black, self.white = black, white
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def changed(self, image: torch.Tensor) -> torch.Tensor:
        """The image in other colours, from black to white."""
        if image.shape[0] != 3:
            raise TrainingError(
                f"an image of {image.shape[0]} channels",
                "three: red, green, blue",
                "leave RandColourJitterd out",
            )
        limits = (self.brightness, self.contrast, self.saturation)
        brightness, contrast, saturation = (1 + self.R.uniform(-limit, limit) for limit in limits)
        image = (image - self.black) / (self.white - self.black)
        image = (image * brightness).clamp(0, 1)
        image = torch.lerp(_grey(image).mean().expand_as(image), image, contrast).clamp(0, 1)
        image = torch.lerp(_grey(image).expand_as(image), image, saturation).clamp(0, 1)
        image = hue_turned(image, self.R.uniform(-self.hue, self.hue))
        return image * (self.white - self.black) + self.black


def hue_turned(image: torch.Tensor, turn: float) -> torch.Tensor:
    """RGB with its hue turned by a share of the colour circle; 1/3 makes red green.

    The hexagonal model of HSV (Smith 1978, doi:10.1145/965139.807361): value and chroma stay as they are.
    """
    high, low = image.amax(0), image.amin(0)
    chroma = (high - low).clamp_min(torch.finfo(image.dtype).tiny)
    red, green, blue = image
    sixth = torch.where(
        high == red,
        (green - blue) / chroma,
        torch.where(high == green, (blue - red) / chroma + 2, (red - green) / chroma + 4),
    )
    sixth = sixth + 6 * turn
    parts = []
    for offset in (5.0, 3.0, 1.0):
        k = (offset + sixth) % 6
        parts.append(high - (high - low) * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(parts)


def _grey(image: torch.Tensor) -> torch.Tensor:
    weights: Sequence[float] = _GREY
    return torch.tensordot(torch.tensor(weights, dtype=image.dtype), image, dims=1)[None]
