"""How much CPU time medseg's metrics take beside the peers', on synthetic masks of real sizes.

    python benchmarks/evaluate.py                 # medseg, MONAI and DeepMind's code
    python benchmarks/evaluate.py --peers all     # and panoptica
    python benchmarks/evaluate.py --small         # a quarter of the size, to see that it runs
    python benchmarks/evaluate.py --repeats 1     # the peers once instead of twice

Each row is Dice, HD95, ASSD and NSD (1 mm) of every structure of one case; CPU seconds of the process, the
best of a few runs, after one run that compiles. "reading" is both label maps from .nii.gz, by medseg. Only
ratios within one run count. All masks are synthetic.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medseg.data.label_maps import read_label_map
from medseg.metrics import PRESETS, Definition, score

Array = npt.NDArray[np.uint8]
Tool = Callable[[Array, Array, str], object]
FOUR = ("dice", "hd", "assd_mm", "nsd")
STRUCTURES = {
    "BraTS": {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)},
    "CT": {f"organ {n}": (n,) for n in range(1, 6)},
}
SPACING = {"BraTS": (1.0, 1.0, 1.0), "CT": (0.8, 0.8, 1.5)}
ORGANS = (
    ((160, 260, 190), (85, 80, 60)),
    ((350, 240, 200), (45, 40, 45)),
    ((190, 330, 110), (30, 28, 45)),
    ((330, 330, 110), (30, 28, 45)),
    ((270, 220, 150), (60, 20, 22)),
)


def blob(
    grid: list[npt.NDArray[np.float64]], centre: tuple[float, ...], radius: tuple[float, ...], seed: int
):
    """A ball with bumps."""
    rng = np.random.default_rng(seed)
    waves, phases = rng.uniform(0.1, 0.25, 3), rng.uniform(0, 6, 3)
    away = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radius, strict=True))
    bumps = sum(np.sin(g * f + p) for g, f, p in zip(grid, waves, phases, strict=True))
    return np.sqrt(away) + 0.03 * bumps < 1


def brats(scale: float, seed: int) -> Array:
    """Three nested regions, 240x240x155."""
    shape = tuple(int(n * scale) for n in (240, 240, 155))
    grid = list(np.ogrid[tuple(slice(0, n / scale, 1 / scale) for n in shape)])
    out = np.zeros(shape, np.uint8, order="F")
    centre = (110 + 1.0 * seed, 130, 78)
    for label, radius in ((2, 50.0), (1, 34.0), (3, 26.0)):
        out[blob(grid, centre, (radius * 1.1, radius, radius * 0.9), 10 + label + 100 * seed)] = label
    return out


def ct(scale: float, seed: int) -> Array:
    """Five organs, 512x512x300."""
    shape = tuple(int(n * scale) for n in (512, 512, 300))
    grid = list(np.ogrid[tuple(slice(0, n / scale, 1 / scale) for n in shape)])
    out = np.zeros(shape, np.uint8, order="F")
    for label, (centre, radius) in enumerate(ORGANS, 1):
        out[blob(grid, tuple(c + 1.0 * seed for c in centre), radius, 10 + label + 100 * seed)] = label
    return out


def with_islands(prediction: Array) -> Array:
    """Two small false positives in far corners, which defeat cropping."""
    far = prediction.copy(order="F")
    for corner in ((6, 6, 6), tuple(n - 14 for n in far.shape)):
        far[tuple(slice(c, c + 6) for c in corner)] = prediction.max()
    return far


def masks(labels: Array, kind: str) -> list[npt.NDArray[np.bool_]]:
    """One mask per structure, C order, as the peers take them."""
    return [np.ascontiguousarray(np.isin(labels, numbers)) for numbers in STRUCTURES[kind].values()]


def with_medseg(how: Definition) -> Tool:
    """medseg by a definition, the four metrics alone."""
    four = replace(how, reports=FOUR)
    return lambda p, r, kind: score(p, r, STRUCTURES[kind], SPACING[kind], how=four, tolerances_mm=[1.0])


def with_monai(p: Array, r: Array, kind: str) -> object:
    """MONAI's four functions on one-hot tensors."""
    import torch
    from monai import metrics

    pair = [torch.from_numpy(np.stack(masks(a, kind)))[None].float() for a in (p, r)]
    options = {"include_background": True, "spacing": SPACING[kind]}
    return [
        metrics.compute_dice(*pair),
        metrics.compute_hausdorff_distance(*pair, percentile=95, **options),
        metrics.compute_average_surface_distance(*pair, symmetric=True, **options),
        metrics.compute_surface_dice(*pair, [1.0] * pair[0].shape[1], **options),
    ]


def with_deepmind(p: Array, r: Array, kind: str) -> object:
    """DeepMind's surface-distance, one table of distances per structure."""
    import surface_distance as sd

    found = []
    for mask_p, mask_r in zip(masks(p, kind), masks(r, kind), strict=True):
        distances = sd.compute_surface_distances(mask_r, mask_p, SPACING[kind])
        found.append(sd.compute_dice_coefficient(mask_r, mask_p))
        found.append(sd.compute_robust_hausdorff(distances, 95))
        found.append(sd.compute_average_surface_distance(distances))
        found.append(sd.compute_surface_dice_at_tolerance(distances, 1.0))
    return found


def patch_deepmind() -> None:
    """surface-distance 0.1 names things that NumPy 2 and newer SciPy do not have."""
    np.Inf = np.inf
    for name in ("filters", "morphology"):
        if not hasattr(ndimage, name):
            setattr(ndimage, name, ndimage)


def with_panoptica(p: Array, r: Array, kind: str) -> object:
    """panoptica's functions on the matched masks."""
    from panoptica.metrics import Metric

    found = []
    for mask_p, mask_r in zip(masks(p, kind), masks(r, kind), strict=True):
        found.append(Metric.DSC(mask_r, mask_p))
        for metric in (Metric.HD95, Metric.ASSD, Metric.NSD):
            found.append(metric(mask_r, mask_p, voxelspacing=SPACING[kind]))
    return found


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """The least CPU time of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def reading_seconds(prediction: Array, reference: Array, kind: str) -> float:
    """CPU time of reading both label maps from compressed NIfTI files."""
    affine = np.diag([*SPACING[kind], 1.0])
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{n}.nii.gz") for n in range(2)]
        for file, labels in zip(files, (prediction, reference), strict=True):
            nib.save(nib.Nifti1Image(labels, affine), file)
        return cpu_seconds(lambda: [read_label_map(file) for file in files], 5)


def tools(wanted: str, repeats: int) -> dict[str, tuple[Tool, int]]:
    """Name to function and how often to run it."""
    found: dict[str, tuple[Tool, int]] = {
        "medseg": (with_medseg(PRESETS["medseg"]), 5),
        "medseg elements": (with_medseg(PRESETS["deepmind"]), 5),
    }
    if wanted == "none":
        return found
    # Imported here, so that no one's import is timed.
    import monai.metrics  # noqa: F401
    import surface_distance  # noqa: F401

    found["MONAI"] = (with_monai, repeats)
    found["DeepMind"] = (with_deepmind, repeats)
    if wanted == "all":
        found["panoptica"] = (with_panoptica, repeats)
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description="CPU time of medseg's metrics beside the peers'.")
    parser.add_argument("--small", action="store_true", help="a quarter of the size")
    parser.add_argument("--peers", choices=("none", "usual", "all"), default="usual")
    parser.add_argument("--only", choices=("BraTS", "CT"), help="one of both cases")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each peer, of which the best counts")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    patch_deepmind()
    scale = 0.25 if options.small else 1.0
    compared = tools(options.peers, options.repeats)
    columns = ["CPU seconds", *compared, "reading", "MONAI / medseg", "DeepMind / medseg elements"]
    print(f"| {' | '.join(columns)} |\n" + "|---" * len(columns) + "|", flush=True)
    for kind, make in (("BraTS", brats), ("CT", ct)):
        if options.only not in (None, kind):
            continue
        reference, prediction = make(scale, 0), make(scale, 1)
        for name, predicted in ((kind, prediction), (f"{kind} far", with_islands(prediction))):
            took = {}
            for tool, (work, repeats) in compared.items():
                if tool.startswith("medseg"):
                    work(predicted, reference, kind)
                took[tool] = cpu_seconds(partial(work, predicted, reference, kind), repeats)
            pairs = (("MONAI", "medseg"), ("DeepMind", "medseg elements"))
            ratios = [f"{took[a] / took[b]:.1f}" if a in took else "-" for a, b in pairs]
            seconds = [*took.values(), reading_seconds(predicted, reference, kind)]
            print(
                f"| {name} | " + " | ".join([*(f"{s:.3f}" for s in seconds), *ratios]) + " |",
                flush=True,
            )
    print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}; synthetic masks", file=sys.stderr)


if __name__ == "__main__":
    main()
