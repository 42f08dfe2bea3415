"""A process with limited address space: the plain path fails in it, the bounded one gives the same labels.

    python -m tests.inference.limited BUNDLE SCAN FOLDER

Prints one JSON object: what became of the plain path, and whether the labels are equal.
"""

from __future__ import annotations

import gc
import json
import re
import resource
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from medseg.bundle.predicting import load_predictor
from medseg.inference.cases import Case
from medseg.inference.memory import resident_bytes

ROOM = 260 << 20


def main(bundle: Path, scan: Path, folder: Path) -> None:
    """Labels without a limit, then by both ways under one."""
    torch.set_num_threads(1)
    ours = load_predictor(bundle, engine="stream", trust=True)
    stock = load_predictor(bundle, engine="stock", trust=True)
    free = ours.predict(Case("free", (scan,), folder / "free.nii.gz"))
    gc.collect()
    mapped = int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024  # type: ignore[index]
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ROOM, mapped + ROOM))
    told = {"plain": "did it"}
    try:
        stock.predict(Case("plain", (scan,), folder / "plain.nii.gz"))
    except (MemoryError, RuntimeError) as error:
        # MONAI's transforms wrap what happened in them, without its words.
        inner: BaseException = error
        while inner.__cause__ is not None:
            inner = inner.__cause__
        told["plain"] = f"{type(inner).__name__}: {inner}"
    gc.collect()
    ours.max_ram = resident_bytes() + ROOM
    bounded = ours.predict(Case("bounded", (scan,), folder / "bounded.nii.gz"))
    labels = [np.asarray(nib.load(path).dataobj) for path in (free, bounded)]
    told["equal"] = str(np.array_equal(*labels))
    told["n_labels"] = str(len(np.unique(labels[0])))
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
