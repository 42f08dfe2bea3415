"""Where a bundle lies, found from its config file and never from the working directory."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

from medseg.errors import BundleError


def bundle_root() -> str:
    """The folder of the bundle whose config is being read, absolute, for ``bundle_root`` in YAML.

    The files in ``models/SHA256SUMS`` are compared on the way: so they are checked as well where MONAI's own
    command line, with nothing of medseg in charge, runs the bundle.

    MONAI gives a config no name for its own place, but the workflow that reads it keeps the folder of the
    config file in ``config_root_path`` (monai 1.6.1, ``ConfigWorkflow.__init__``); it is looked up among the
    callers. Where no workflow is running (``ckpt_export`` and the like read the file alone) the working
    directory is taken if it is a bundle.

    Raises:
        BundleError: no workflow is running and the working directory is no bundle, or a file of
            ``models/`` is not the recorded one.
    """
    from monai.bundle import ConfigWorkflow

    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, ConfigWorkflow):
            return _checked(Path(caller.config_root_path).resolve().parent)
        frame = frame.f_back
    here = Path.cwd()
    if not (here / "configs" / "metadata.json").is_file():
        raise BundleError(
            f"no bundle at {here}",
            "a folder with configs/metadata.json",
            "go there or give --bundle_root",
        )
    return _checked(here)


def _checked(root: Path) -> str:
    from medseg.bundle.weights import check_sums

    check_sums(root)
    return str(root)
