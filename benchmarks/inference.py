"""Inference end to end on synthetic scans: stock MONAI against medseg, in CPU seconds and peak memory.

    python -m benchmarks.inference                                  # CT, 512x512x150, 2 and 14 classes
    python -m benchmarks.inference --classes 105 --plane 256 --slices 75
    python -m benchmarks.inference --brain               # four channels, 240x240x155, three regions
    python -m benchmarks.inference --classes 2 --slices 150 300 600 --max-ram 1200M --ways torch
    python -m benchmarks.inference --classes 14 --ways stock nnunet torch   # with nnunetv2
    python -m benchmarks.inference --scan T1C.nii.gz,T1.nii.gz,T2.nii.gz,FLAIR.nii.gz --brain   # real
    python -m benchmarks.inference --bundle bundles/brats_mr_unet3d --scan CASE_FOLDER   # real weights too

Each line is a process of its own with the same weights, on as many threads as OMP_NUM_THREADS says. CPU
seconds are of the case alone, without imports and what is done once and remembered (conversion, compilation);
the peak is of the whole process. ``differ`` is the share of voxels with another label than in the first line.
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

from benchmarks.inference_cases import write_brain, write_bundle, write_ct
from benchmarks.inference_nnunet import is_installed, nnunet_case

WAYS = ("stock", "nnunet", "torch", "onnx", "openvino")


def run_one(way: str, bundle: Path, scans: str, out: Path, max_ram: str | None) -> dict[str, float]:
    """Segment one scan in this process: CPU and wall seconds of the case, peak of the process."""
    files = _files(bundle, scans)
    if way == "nnunet":
        case = nnunet_case(bundle, scans, out)
    else:
        case = _stock(bundle, scans, out) if way == "stock" else _ours(way, bundle, files, out, max_ram)
    cpu, wall = process_time(), perf_counter()
    case()
    return {
        "cpu_s": process_time() - cpu,
        "wall_s": perf_counter() - wall,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _files(bundle: Path, scans: str) -> tuple[Path, ...]:
    """The channels of the scan; of the only case of a folder, in the order of the bundle's own list."""
    if not Path(scans).is_dir():
        return tuple(Path(name) for name in scans.split(","))
    from monai.bundle import ConfigParser

    from medseg.inference import scans_in

    parser = ConfigParser(ConfigParser.load_config_file(str(bundle / "configs" / "inference.yaml")))
    (only,) = scans_in(scans, parser.get("channels"))
    return tuple(map(Path, only["image"] if isinstance(only["image"], list) else [only["image"]]))


def _stock(bundle: Path, scans: str, out: Path) -> Any:
    from monai.bundle import create_workflow

    workflow = create_workflow(
        config_file=str(bundle / "configs" / "inference.yaml"), bundle_root=str(bundle),
        dataset_dir=scans, output_dir=str(out), logging_file=False, workflow_type="infer", meta_file=None,
    )  # fmt: skip
    return workflow.run


def _ours(way: str, bundle: Path, scans: tuple[Path, ...], out: Path, max_ram: str | None) -> Any:
    from medseg.bundle.predicting import load_predictor
    from medseg.inference.cases import Case
    from medseg.inference.memory import parse_size

    limit = parse_size(max_ram) if max_ram else None
    predictor = load_predictor(bundle, engine="stream", runtime=way, trust=True, max_ram=limit)
    case = Case("ct", scans, out / "ct.nii.gz")
    predictor.warm(len(scans), (96, 96, 96))
    return lambda: predictor.predict(case, overwrite=True)


def in_child(*arguments: str) -> dict[str, float]:
    """What a process of its own reports for one way and one scan; why it failed on stderr."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.inference", "--child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write((done.stderr.strip().splitlines() or [f"signal {-done.returncode}"])[-1] + "\n")
        return {}
    return json.loads(done.stdout.splitlines()[-1])


def compare(bundle: Path, scans: str, ways: list[str], max_ram: str, name: str) -> None:
    """Print one line per way for one scan, with its ratios to the first and its disagreement with it."""
    first: dict[str, float] = {}
    reference: np.ndarray | None = None
    for way in ways:
        if way == "nnunet" and not is_installed():
            print(f"{name:24} {way:9} not measured: nnunetv2 is not installed", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            if way in ("onnx", "openvino"):
                # Once without measuring: converting a network takes memory that later processes do not need.
                in_child("convert", way, str(bundle), scans, folder)
            got = in_child(way, str(bundle), scans, folder, max_ram)
            if not got:
                print(f"{name:24} {way:9} did not finish", flush=True)
                continue
            labels = np.asarray(nib.load(next(Path(folder).glob("*.nii.gz"))).dataobj)
        if reference is None:
            first, reference = got, labels
        print(
            f"{name:24} {way:9} {got['cpu_s']:7.1f} {first['cpu_s'] / got['cpu_s']:6.2f} "
            f"{got['peak_mib']:9.0f} {got['peak_mib'] / first['peak_mib']:6.2f} {got['wall_s']:7.1f} "
            f"{np.mean(labels.reshape(reference.shape) != reference):.1e}",
            flush=True,
        )


def compare_all(folder: Path, arguments: argparse.Namespace) -> None:
    """Print the lines of each scan that is asked for."""
    ways, max_ram = arguments.ways, arguments.max_ram
    if arguments.bundle:
        compare(arguments.bundle.resolve(), arguments.scan, ways, max_ram, Path(arguments.scan).name)
        return
    if arguments.brain:
        bundle = write_bundle(folder / "brain", 3, is_brain=True)
        scans = arguments.scan or ",".join(map(str, write_brain(folder)))
        compare(bundle, scans, ways, max_ram, "brain, 3 regions")
        return
    for n_classes in arguments.classes:
        bundle = write_bundle(folder / f"bundle{n_classes}", n_classes)
        for n_slices in arguments.slices:
            shape = (arguments.plane, arguments.plane, n_slices)
            scan = arguments.scan or str(write_ct(folder / "ct.nii.gz", shape, n_classes))
            name = f"CT {'x'.join(map(str, shape))}, {n_classes} cl."
            compare(bundle, scan, ways, max_ram, name)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 14])
    parser.add_argument("--slices", type=int, nargs="+", default=[150])
    parser.add_argument("--plane", type=int, default=512)
    parser.add_argument("--brain", action="store_true")
    parser.add_argument("--scan", default="", help="a real scan instead, its channels joined by commas")
    parser.add_argument("--bundle", type=Path, help="this bundle on --scan, a folder with one case")
    parser.add_argument("--ways", nargs="+", default=["stock", "torch", "openvino"], choices=WAYS)
    parser.add_argument("--max-ram", default="")
    parser.add_argument("--folder", default=None, help="for scratch; needs some GB")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child and arguments.child[0] == "convert":
        _, way, bundle, scans, out = arguments.child
        _ours(way, Path(bundle), _files(Path(bundle), scans), Path(out), None)
        print("{}")
        return
    if arguments.child:
        way, bundle, scans, out, max_ram = arguments.child
        print(json.dumps(run_one(way, Path(bundle), scans, Path(out), max_ram or None)))
        return
    print(f"torch {torch.__version__} on {torch.get_num_threads()} threads of {os.cpu_count()} cores, "
          f"{os.getloadavg()[0]:.0f} processes running")  # fmt: skip
    print("scan                     way         CPU s faster  peak MiB  ratio  wall s differ")
    tempfile.tempdir = arguments.folder
    with tempfile.TemporaryDirectory() as folder:
        compare_all(Path(folder), arguments)


if __name__ == "__main__":
    main()
