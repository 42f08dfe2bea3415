"""From scores on the network's grid to labels on the scan's: every class by skimage against ours.

    python -m benchmarks.way_back                        # 14 classes, 273x273x225 to 512x512x150

``skimage`` is what nnU-Net's default export does with each class (``skimage.transform.resize``, order 1, on
float64), here with a running highest score, so that no array of classes by volume is held: nnU-Net holds it.
Where ``nnunetv2`` is installed (``--nnunet``), its own function is measured too, as it is.
Its grid is that of resize (half-pixel centres), ours is told the same. Random smooth scores, one thread.
"""

from __future__ import annotations

import argparse
from time import process_time

import numpy as np
import torch
import torch.nn.functional as F

from medseg.inference.decision import Decision
from medseg.inference.native import native_labels
from medseg.inference.wayback import AxisMap, axis_map


def smooth_scores(n_classes: int, shape: tuple[int, ...], *, grain: int) -> torch.Tensor:
    """Scores whose winning class changes every ``grain`` voxels or so, shape (class, …)."""
    coarse = torch.randn((1, n_classes, *(n // grain + 2 for n in shape)), generator=torch.manual_seed(0))
    return F.interpolate(coarse, size=shape, mode="trilinear")[0] * 5


def by_skimage(scores: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The class with the highest interpolated score."""
    from skimage.transform import resize

    best, labels = np.full(shape, -np.inf), np.zeros(shape, np.uint8)
    for number, channel in enumerate(scores):
        native = resize(channel.astype(np.float64), shape, 1, mode="edge", anti_aliasing=False)
        labels[native > best] = number
        np.maximum(best, native, out=best)
    return labels


def by_nnunet(scores: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Labels by nnU-Net's default for probabilities, all classes at once, and torch's argmax as it has it."""
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

    spacing = (1.0, 1.0, 1.0)
    native = resample_data_or_seg_to_shape(
        scores, shape, spacing, spacing, is_seg=False, order=1, order_z=0, force_separate_z=None
    )
    return torch.from_numpy(native).argmax(0).numpy()


def maps(shape: tuple[int, ...], grid: tuple[int, ...]) -> list[AxisMap]:
    """Where each voxel lies on the grid, as ``resize`` has it."""
    return [
        axis_map((np.arange(n) + 0.5) * points / n - 0.5, a, points, box=(0.0, points - 1.0))
        for a, (n, points) in enumerate(zip(shape, grid, strict=True))
    ]


def mixed_share(scores: torch.Tensor, shape: tuple[int, ...], grid: tuple[int, ...]) -> float:
    """Share of voxels whose corners disagree: near those, and only there, scores are interpolated."""
    cells = torch.max(scores, 0)[1].numpy()
    for a, axis in enumerate(maps(shape, grid)):
        lower, upper = (cells.take(points, a) for points in axis.neighbours())
        cells = np.where(lower == upper, lower, -1)
    return float(np.mean(cells == -1))


def main() -> None:
    """Print the two lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--classes", type=int, default=14)
    parser.add_argument("--grid", type=int, nargs=3, default=[273, 273, 225])
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 150])
    parser.add_argument("--grain", type=int, default=48)
    parser.add_argument("--nnunet", action="store_true", help="nnU-Net's own function; needs nnunetv2")
    arguments = parser.parse_args()
    grid, shape = tuple(arguments.grid), tuple(arguments.shape)
    torch.set_num_threads(1)
    scores = smooth_scores(arguments.classes, grid, grain=arguments.grain)
    start = process_time()
    ours = native_labels(scores, maps(shape, grid), Decision("none"))
    mine = process_time() - start
    asked = mixed_share(scores, shape, grid)
    start = process_time()
    theirs = (by_nnunet if arguments.nnunet else by_skimage)(scores.numpy(), shape)
    other = process_time() - start
    name = "nnU-Net" if arguments.nnunet else "skimage"
    print(
        f"{arguments.classes} classes, {grid} to {shape}: {name} {other:.1f} s, ours {mine:.2f} s, "
        f"{other / mine:.1f} times faster; {asked:.1%} of voxels needed scores; "
        f"{np.mean(ours != theirs):.1e} of labels differ"
    )


if __name__ == "__main__":
    main()
