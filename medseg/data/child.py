"""The child process that reads what may crash: requests come as JSON lines, arrays go back as raw bytes.

Started by `medseg.data.isolation` as ``python -m medseg.data.child MEGABYTES``; never imported by users.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np

from medseg.data.findings import Finding, UnreadableError, unreadable
from medseg.data.isolation import Reader


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes | memoryview]:
    """The reply to one request: a header for JSON and the array's bytes."""
    if request["do"] == "profile":
        from medseg.data.profile import profile
        from medseg.data.profiles import Request

        with Reader() if request["careful"] else HERE as reader:
            return {"profile": profile(Request.from_dict(request["request"]), reader).as_dict()}, b""
    paths = request["paths"]
    if request["do"] == "summary":
        from medseg.data.dicom_summary import summary

        return {"series": summary(paths)}, b""
    array, affine, about, found = _load(request["do"], paths)
    array = np.asarray(array, dtype=array.dtype.newbyteorder("="))
    reply = {
        "shape": array.shape,
        "dtype": array.dtype.str,
        "affine": np.asarray(affine, float).tolist(),
        "about": about,
        "findings": [f.as_dict() for f in found],
    }
    return reply, np.ascontiguousarray(array).data.cast("B") if array.size else b""


class _Here(Reader):
    """A reader that reads in this very process, which is the child already."""

    def ask(self, do: str, paths: list[str]) -> tuple[dict[str, Any], bytearray]:
        """As `Reader.ask`, without a process of its own."""
        reply, payload = answer({"do": do, "paths": [str(p) for p in paths]})
        return reply | {"findings": [Finding(**f) for f in reply["findings"]]}, bytearray(payload)


HERE = _Here()


def _load(kind: str, paths: list[str]) -> tuple[Any, Any, dict[str, Any], list[Finding]]:
    if kind == "dicom":
        from medseg.data.dicom import load_dicom

        return load_dicom(paths)
    if kind == "labels":
        from medseg.data.dicom_labels import load_labels

        return load_labels(paths)
    from medseg.data import formats

    loaders = {
        "picture": formats.load_picture,
        "itk": formats.load_by_itk,
        "nibabel": formats.load_by_nibabel,
    }
    return loaders[kind](Path(paths[0]))


def _limit(megabytes: int) -> None:
    """No more memory than this, no core dump; where the system knows no limits there are none."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer until the parent closes its end."""
    for line in requests:
        try:
            reply, payload = answer(json.loads(line))
        except UnreadableError as error:
            reply, payload = {"failed": error.finding.as_dict()}, b""
        except MemoryError:
            bad = unreadable("reading it takes more memory than allowed", "crop or convert it")
            reply, payload = {"failed": bad.as_dict()}, b""
        # Whatever a decoder raises, the parent must hear of it, or it would wait for ever.
        except Exception as error:  # noqa: BLE001
            bad = unreadable(f"{type(error).__name__}: {error}")
            reply, payload = {"failed": bad.as_dict()}, b""
        text = json.dumps(reply).encode()
        replies.write(struct.pack("<QQ", len(text), len(payload)) + text)
        replies.write(payload)
        replies.flush()


def main() -> None:
    """Keep the pipe to the parent apart, so that libraries which print do no harm."""
    warnings.simplefilter("ignore")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit(int(sys.argv[1]))
    serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
