"""Decoders: each takes an encoder's five features and gives maps from fine to coarse, the first to be scored.

A decoder says in `channels` how wide its maps are; where `scores` is true they are scores already.
"""

from medseg.networks.decoders.deeplab import ASPP, DeepLabV3, DeepLabV3Plus
from medseg.networks.decoders.fcn import FCN
from medseg.networks.decoders.fpn import FPN
from medseg.networks.decoders.pspnet import PSPNet
from medseg.networks.decoders.segnet import SegNet, pool_with_places, unpool
from medseg.networks.decoders.unet import UNet

__all__ = [
    "ASPP",
    "FCN",
    "FPN",
    "DeepLabV3",
    "DeepLabV3Plus",
    "PSPNet",
    "SegNet",
    "UNet",
    "pool_with_places",
    "unpool",
]
