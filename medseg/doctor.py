"""What a bug report needs to know of this machine: versions, devices, memory, disk, readers, known faults.

Nothing is imported but the standard library until `devices` asks torch, in a process of its own, so that a
broken installation is a line of the report and not its end.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medseg import __version__

PACKAGES = {
    "needed": ("monai", "torch", "pytorch-ignite", "numpy", "scipy", "numba", "pyyaml", "jsonschema"),
    "readers": ("nibabel", "SimpleITK", "pydicom", "pillow", "isal"),
    "optional": ("onnx", "onnxscript", "onnxruntime", "openvino", "safetensors", "tensorboard", "mlflow"),
}
"""Distribution names by what they are for."""

_PROBE = """
import json, torch
capability = torch.backends.cpu.get_cpu_capability()
found = [{"name": "cpu", "threads": torch.get_num_threads(), "capability": capability}]
for i in range(torch.cuda.device_count()):
    about = torch.cuda.get_device_properties(i)
    found.append({"name": f"cuda:{i}", "model": about.name, "memory_gb": round(about.total_memory / 1e9, 1)})
if torch.backends.mps.is_available():
    found.append({"name": "mps"})
print(json.dumps(found))
"""
_TIME_S = 120


@dataclass(frozen=True)
class Advice:
    """Something known to be bad, or worth knowing, about this installation.

    Attributes:
        severity: ``error`` for what gives wrong or unsafe results or does not work, else ``warning``.
        found: what is there.
        do: what mends it.
    """

    severity: str
    found: str
    do: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.found}; {self.do}"


@dataclass(frozen=True)
class Below:
    """A version from which on a package has a fault no more."""

    package: str
    good: tuple[int, ...]
    why: str
    severity: str = "error"


KNOWN_BAD = (
    Below(
        "torch", (2, 10), "its reader of weights may run code although weights_only is set (CVE-2026-24747)"
    ),
    Below(
        "monai",
        (1, 6, 1),
        "it evaluates logging.conf of a bundle and unpickles weights and arrays of strangers",
    ),
    Below("pytorch-ignite", (0, 5, 2), "medseg's training loop is not tested with it"),
    Below("numpy", (1, 26), "medseg is not tested with it"),
    Below("nibabel", (5, 2), "it does not read some headers that medseg needs"),
    Below("pydicom", (3, 0), "it decodes no compressed DICOM by the interface that medseg uses"),
    Below("pillow", (10, 4), "it has known overflows in its decoders"),
    Below("pyyaml", (6, 0, 2), "it cannot be built for current Pythons"),
)
"""Facts of shared research (MONAI's and torch's advisories), and the floors of pyproject.toml."""


@dataclass(frozen=True)
class Report:
    """What `medseg doctor` tells."""

    medseg: str
    python: str
    platform: str
    packages: dict[str, dict[str, str]]
    devices: list[dict[str, Any]]
    cpus: int
    memory_gb: dict[str, float]
    disk_gb: dict[str, float]
    variables: dict[str, str]
    advice: list[Advice]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON takes it."""
        return asdict(self)

    @property
    def is_well(self) -> bool:
        """True without errors among the advice."""
        return all(a.severity != "error" for a in self.advice)


def examine() -> Report:
    """Everything that a bug report should hold of this machine; no name of a user and no path of data."""
    packages = {kind: {n: version(n) for n in names} for kind, names in PACKAGES.items()}
    found, trouble = devices()
    memory, disk = memory_gb(), disk_gb()
    installed = {n: v for names in packages.values() for n, v in names.items()}
    advice = [*known_bad(installed), *trouble, *_resources(memory, disk), *_variables()]
    return Report(
        __version__,
        platform.python_version(),
        platform.platform(),
        packages,
        found,
        available_cpus(),
        memory,
        disk,
        {k: v for k, v in sorted(os.environ.items()) if k.startswith(("MONAI_", "OMP_NUM", "CUDA_VISIBLE"))},
        advice,
    )


def version(package: str) -> str:
    """The installed version, or an empty string."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def known_bad(installed: dict[str, str]) -> Iterator[Advice]:
    """Versions with a known fault, and what is needed and missing."""
    for rule in KNOWN_BAD:
        there = installed.get(rule.package, "")
        if there and _numbers(there) < rule.good:
            least = ".".join(map(str, rule.good))
            found = f"{rule.package} {there}: {rule.why}"
            yield Advice(rule.severity, found, f"pip install '{rule.package}>={least}'")
    for package in (*PACKAGES["needed"], *PACKAGES["readers"]):
        if not installed.get(package):
            yield Advice(
                "error", f"{package} is not installed", "install medseg again, with its dependencies"
            )
    if _numbers(installed.get("monai", "")) >= (1, 7):
        found = f"monai {installed['monai']}, newer than any that medseg was tested with"
        yield Advice("warning", found, "pip install 'monai<1.7'")
    if not (3, 10) <= sys.version_info[:2] < (3, 14):
        found = f"Python {platform.python_version()}; medseg is tested with 3.10 to 3.13"
        yield Advice("warning", found, "use one of those")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", text.split("+")[0])[:3])


def devices() -> tuple[list[dict[str, Any]], list[Advice]]:
    """What torch can compute on, asked in a process of its own; and what went wrong in asking."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_TIME_S, check=True
        )
        return json.loads(done.stdout.strip().splitlines()[-1]), []
    except subprocess.TimeoutExpired:
        return [], [Advice("error", f"torch took over {_TIME_S} s to start", "look at the machine's load")]
    except (subprocess.CalledProcessError, ValueError, IndexError) as error:
        told = (getattr(error, "stderr", "") or str(error)).strip().splitlines() or ["no reason given"]
        return [], [Advice("error", f"torch cannot be imported: {told[-1]}", "install torch again")]


def available_cpus() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gb() -> dict[str, float]:
    """Memory in GB: ``total``, ``free`` for new work, ``limit`` of a container; empty where nobody tells."""
    found: dict[str, float] = {}
    meminfo, limit = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        for name, key in (("total", "MemTotal"), ("free", "MemAvailable")):
            found[name] = round(int(lines[key].split()[0]) * 1024 / 1e9, 1)
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        found["limit"] = round(int(text) / 1e9, 1)
    return found


def disk_gb() -> dict[str, float]:
    """Free disk space in GB: here, for temporary files, and for shared memory where there is such a place."""
    places = {"here": Path.cwd(), "temporary": Path(tempfile.gettempdir()), "shared memory": Path("/dev/shm")}
    return {name: round(shutil.disk_usage(p).free / 1e9, 2) for name, p in places.items() if p.is_dir()}


def _resources(memory: dict[str, float], disk: dict[str, float]) -> Iterator[Advice]:
    free = min((memory[k] for k in ("free", "limit") if k in memory), default=None)
    if free is not None and free < 2:
        yield Advice("warning", f"{free} GB of memory are free", "close programs, or use --max-ram")
    for place in ("here", "temporary"):
        if disk.get(place, 1.0) < 1:
            yield Advice(
                "warning", f"{disk[place]} GB are free ({place})", "make room: a full disk ends a run"
            )
    if disk.get("shared memory", 1.0) < 0.1:
        told = f"{disk['shared memory']} GB of shared memory (/dev/shm)"
        yield Advice("warning", told, "loading by several processes needs more: docker run --shm-size 2g")


def _variables() -> Iterator[Advice]:
    for name, why in (
        ("MONAI_ALLOW_PICKLE", "lets MONAI unpickle what strangers wrote"),
        ("MONAI_ALLOW_MISSING_REFERENCE", "hides references that name nothing"),
        ("MONAI_DEBUG_CONFIG", "stops in a debugger at each config item"),
    ):
        if os.environ.get(name, "0").lower() not in ("", "0", "false"):
            yield Advice("warning", f"{name} is set: it {why}", f"unset {name}")
    if os.environ.get("MONAI_EVAL_EXPR", "1").lower() in ("0", "false"):
        yield Advice(
            "warning", "MONAI_EVAL_EXPR is off: references in expressions fail", "unset MONAI_EVAL_EXPR"
        )
