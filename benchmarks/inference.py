"""Inference end to end on a synthetic CT: stock MONAI against medseg, in CPU seconds and peak memory.

    python -m benchmarks.inference                       # 2 and 14 classes, 512x512x150
    python -m benchmarks.inference --classes 2 --slices 150 300 600 --max-ram 3G --ways torch

Each line is a process of its own with the same weights. CPU seconds are of the case alone, without imports
and set-up; the peak is of the whole process. The CT and the network are synthetic: bands of intensity, so
that labels look like organs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
import yaml
from monai.networks.nets import UNet

WAYS = ("stock", "torch", "openvino")


class BandNet(torch.nn.Module):
    """A small U-Net whose scores mostly follow the smoothed intensity, one band per class."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.unet = UNet(3, 1, n_classes, (16, 32, 64), (2, 2))
        # k (2cs - c²) is highest for the class whose centre c is nearest to s.
        centres, steepness = torch.linspace(0, 1, n_classes), 100 * n_classes
        self.register_buffer("slope", (2 * steepness * centres).view(-1, 1, 1, 1, 1))
        self.register_buffer("offset", -steepness * centres**2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the windows."""
        smooth = x
        for kernel, padding in (((5, 1, 1), (2, 0, 0)), ((1, 5, 1), (0, 2, 0)), ((1, 1, 5), (0, 0, 2))):
            smooth = F.avg_pool3d(smooth, kernel, 1, padding)
        return F.conv3d(smooth, self.slope, self.offset) + 0.01 * self.unet(x)


def write_ct(path: Path, shape: tuple[int, int, int], n_classes: int) -> Path:
    """A synthetic body with one ellipsoid per class, 0.8 x 0.8 x 3 mm, LPS, int16 with noise."""
    rng = np.random.default_rng(0)
    x, y = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    z = np.linspace(-1, 1, shape[2])
    volume = np.empty(shape, np.int16, order="F")
    centres = rng.uniform(-0.5, 0.5, (n_classes, 3))
    for k in range(shape[2]):
        plane = np.zeros(shape[:2])
        for c in range(1, n_classes):
            a, b, d = centres[c]
            inside = ((x - a) / 0.3) ** 2 + ((y - b) / 0.25) ** 2 + ((z[k] - d) / 0.4) ** 2 < 1
            plane[inside] = c / (n_classes - 1)
        volume[..., k] = plane * 2000 - 1000 + rng.integers(-8, 9, shape[:2])
    nib.save(nib.Nifti1Image(volume, np.diag([-0.8, -0.8, 3.0, 1.0])), path)
    return path


def write_bundle(root: Path, n_classes: int) -> Path:
    """A bundle as in MONAI's model zoo: Orientation, Spacing, window, softmax, Invertd, argmax, SaveImage."""
    steps: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image", "reader": "NibabelReader"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
        {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
        {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -1000, "a_max": 1000,
         "b_min": 0.0, "b_max": 1.0, "clip": True},
        {"_target_": "EnsureTyped", "keys": "image"},
    ]  # fmt: skip
    ends: list[dict[str, Any]] = [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
         "nearest_interp": False, "to_tensor": True},
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_dtype": "$np.uint8",
         "output_postfix": "", "separate_folder": False, "print_log": False},
    ]  # fmt: skip
    config = {
        "imports": ["$import numpy as np"],
        "bundle_root": ".",
        "dataset_dir": ".",
        "output_dir": ".",
        "device": "$torch.device('cpu')",
        "network_def": {"_target_": "benchmarks.inference.BandNet", "n_classes": n_classes},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        "datalist": [{"image": "@dataset_dir"}],
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 96], "sw_batch_size": 1,
                    "overlap": 0.25, "mode": "gaussian"},
        "postprocessing": {"_target_": "Compose", "transforms": ends},
        "handlers": [{"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/model.pt'",
                      "load_dict": {"model": "@network"}}],
        "evaluator": {"_target_": "SupervisedEvaluator", "device": "@device",
                      "val_data_loader": "@dataloader", "network": "@network",
                      "inferer": "@inferer", "postprocessing": "@postprocessing",
                      "val_handlers": "@handlers"},
        "run": ["$@evaluator.run()"],
    }  # fmt: skip
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "configs" / "inference.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    torch.manual_seed(0)
    torch.save(BandNet(n_classes).state_dict(), root / "models" / "model.pt")
    return root


def run_one(way: str, bundle: Path, scan: Path, out: Path, max_ram: str | None) -> dict[str, float]:
    """Segment one scan in this process: CPU and wall seconds of the case, peak of the process."""
    case = _stock(bundle, scan, out) if way == "stock" else _ours(way, bundle, scan, out, max_ram)
    cpu, wall = process_time(), perf_counter()
    case()
    return {
        "cpu_s": process_time() - cpu,
        "wall_s": perf_counter() - wall,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _stock(bundle: Path, scan: Path, out: Path) -> Any:
    from monai.bundle import create_workflow

    workflow = create_workflow(
        config_file=str(bundle / "configs" / "inference.yaml"), bundle_root=str(bundle),
        dataset_dir=str(scan), output_dir=str(out), logging_file=False, workflow_type="infer", meta_file=None,
    )  # fmt: skip
    return workflow.run


def _ours(way: str, bundle: Path, scan: Path, out: Path, max_ram: str | None) -> Any:
    from medseg.bundle.predicting import load_predictor
    from medseg.inference.cases import Case
    from medseg.inference.memory import parse_size

    limit = parse_size(max_ram) if max_ram else None
    predictor = load_predictor(bundle, engine="stream", runtime=way, trust=True, max_ram=limit)
    case = Case("ct", (scan,), out / "ct.nii.gz")
    # Conversion and compilation are done once and remembered; they are no part of a case.
    predictor.warm(1, (96, 96, 96))
    return lambda: predictor.predict(case, overwrite=True)


def in_child(*arguments: str) -> dict[str, float]:
    """What a process of its own reports for one way and one scan."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.inference", "--child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": 1.0}
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, n_classes: int, n_slices: int, ways: list[str], max_ram: str) -> None:
    """Print one line per way for one scan, with its ratios to the first and its disagreement with it."""
    bundle = folder / f"bundle{n_classes}"
    bundle = bundle if bundle.exists() else write_bundle(bundle, n_classes)
    scan = write_ct(folder / "ct.nii.gz", (512, 512, n_slices), n_classes)
    first: dict[str, float] = {}
    reference: np.ndarray | None = None
    for way in ways:
        out = folder / f"{way}{n_classes}_{n_slices}"
        out.mkdir()
        got = in_child(way, str(bundle), str(scan), str(out), max_ram)
        if "failed" in got:
            print(f"{n_classes:8} {n_slices:7} {way:9} did not finish", flush=True)
            continue
        labels = np.asarray(nib.load(next(out.glob("*.nii.gz"))).dataobj)
        if reference is None:
            first, reference = got, labels
        print(
            f"{n_classes:8} {n_slices:7} {way:9} {got['cpu_s']:7.1f} {first['cpu_s'] / got['cpu_s']:6.2f} "
            f"{got['peak_mib']:9.0f} {got['peak_mib'] / first['peak_mib']:6.2f} {got['wall_s']:7.1f} "
            f"{np.mean(labels != reference):.1e}",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 14])
    parser.add_argument("--slices", type=int, nargs="+", default=[150])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--max-ram", default="")
    parser.add_argument("--folder", default=None, help="for scratch; needs some GB")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        way, bundle, scan, out, max_ram = arguments.child
        print(json.dumps(run_one(way, Path(bundle), Path(scan), Path(out), max_ram or None)))
        return
    print(
        f"synthetic CT, {os.cpu_count()} cores, torch {torch.__version__}; ratios to the first line of each"
    )
    print(" classes  slices way         CPU s faster  peak MiB  ratio  wall s differ")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for n_classes in arguments.classes:
            for n_slices in arguments.slices:
                compare(Path(folder), n_classes, n_slices, arguments.ways, arguments.max_ram)


if __name__ == "__main__":
    main()
