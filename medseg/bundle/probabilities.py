"""A bundle's probabilities by its own steps, for bundles that the engine does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from medseg.bundle.predicting import Predictor
from medseg.errors import BundleError


def probabilities(predictor: Predictor, images: tuple[Path, ...]) -> np.ndarray:
    """Probability of each channel at each voxel of the scan, shape (x, y, z, channel), float32.

    They are the bundle's own post-processing up to its AsDiscreted; where that holds no activation, softmax
    (or sigmoid where regions are cut at a threshold) is applied on the scan's grid. The network runs again.

    Raises:
        BundleError: an ensemble, or post-processing without AsDiscreted.
    """
    if len(predictor.modules) > 1:
        raise BundleError("probabilities of an ensemble", "one bundle", "leave out --probabilities")
    steps = list(getattr(predictor.postprocessing, "transforms", ()))
    names = [type(step).__name__ for step in steps]
    if "AsDiscreted" not in names:
        raise BundleError(f"postprocessing {names}", "an AsDiscreted", "leave out --probabilities")
    last = names.index("AsDiscreted")
    item = predictor.scored_by(getattr(predictor.inferer, "inferer", predictor.inferer), images)
    for step in steps[:last]:
        item = step(item)
    found = torch.as_tensor(item[predictor.pred_key]).float().cpu()
    if "Activationsd" not in names[:last] and not getattr(predictor.inferer, "gives_probabilities", False):
        found = torch.softmax(found, 0) if steps[last].argmax[0] else torch.sigmoid(found)
    return np.moveaxis(found.numpy(), 0, -1)
