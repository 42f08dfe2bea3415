"""Does a bundle do what it says? Lint first, then every part of it at work on synthetic cases."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from medseg.bundle.lint import Bundle, lint
from medseg.bundle.restricted import Mode, check
from medseg.bundle.verify.step import Step, failed, passed, skipped
from medseg.bundle.weights import check_sums, read_sums
from medseg.errors import MedsegError


def verify(bundle: str | os.PathLike[str], *, trust: bool = False) -> Iterator[Step]:
    """Each step as it is done; those that run the bundle are left out once one before them failed for good.

    Writes to a temporary folder alone.

    Args:
        bundle: its folder.
        trust: run it even if restricted mode refuses it.

    Raises:
        BundleError: there is no bundle.
    """
    root = Path(bundle).resolve()
    faults = [f for f in lint(root) if f.is_error]
    shown = "; ".join(map(str, faults[:3])) + (f" and {len(faults) - 3} more" if len(faults) > 3 else "")
    yield failed("lint", shown) if faults else passed("lint", "no errors")
    yield _sums(root)
    yield _scores(Bundle(root).meta.plain())
    try:
        mode = check(root, trust=trust)
    except MedsegError as error:
        yield failed("trust", str(error))
        return
    yield passed("trust", mode.why)
    if any(f.code in ("unreadable", "missing-file") and f.file.startswith("configs/") for f in faults):
        yield failed("running", "the configs cannot be read, nothing was run")
        return
    with tempfile.TemporaryDirectory(prefix="medseg-verify-") as folder:
        yield from _run(root, mode, Path(folder), trust)


def _sums(root: Path) -> Step:
    if not read_sums(root):
        ours = "medseg" in str(Bundle(root).meta.plain().get("required_packages_version", ""))
        return (failed if ours else skipped)("sha256", "models/SHA256SUMS is missing")
    try:
        return passed("sha256", f"{check_sums(root)} files are the recorded ones")
    except MedsegError as error:
        return failed("sha256", str(error))


def _scores(meta: dict[str, Any]) -> Step:
    scores = meta.get("eval_metrics")
    if not isinstance(scores, dict) or not scores:
        return failed("scores", "eval_metrics of metadata.json is empty: what does it reach, on which cases?")
    return passed("scores", ", ".join(f"{k} {v}" for k, v in list(scores.items())[:6]))


def _run(root: Path, mode: Mode, folder: Path, trust: bool) -> Iterator[Step]:
    from medseg.bundle.verify.network import check_network
    from medseg.bundle.verify.phantoms import fit_of
    from medseg.bundle.verify.running import check_prediction, check_training

    bundle = Bundle(root)
    config = bundle.config("inference")
    if config is None:
        yield failed("running", "no inference config, nothing was run")
        return
    fit = fit_of(bundle, config)
    network = None
    try:
        with mode.kept_in(folder):
            network = _network(root, mode)
    except (MedsegError, RuntimeError, TypeError, ValueError, KeyError) as error:
        yield failed("network", _line(error))
    if network is not None:
        yield from check_network(root, network, bundle.meta.plain())
    yield _attempt(
        "prediction", lambda: _kept(mode, folder, lambda: check_prediction(root, fit, folder, trust=trust))
    )
    yield _attempt("training", lambda: check_training(root, fit, folder, mode))
    yield _exported(root, folder)


def _kept(mode: Mode, folder: Path, step: Callable[[], Step]) -> Step:
    with mode.kept_in(folder):
        return step()


def _attempt(name: str, step: Callable[[], Step]) -> Step:
    """The step, or its failure: whatever a bundle's own parts raise is the bundle's fault, and is told."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001 - told in full, and verify fails
        return failed(name, _line(error))


def _line(error: BaseException) -> str:
    while error.__cause__ is not None and not isinstance(error, MedsegError):
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def _network(root: Path, mode: Mode) -> Any:
    import sys

    from monai.bundle import ConfigParser

    from medseg.bundle.predicting import inference_config
    from medseg.bundle.run import quieten_monai

    quieten_monai()
    if mode.full and str(root) not in sys.path:
        sys.path.insert(0, str(root))
    parser = ConfigParser()
    parser.read_config(inference_config(root))
    parser["bundle_root"] = str(root)
    parser["device"] = "cpu"
    return parser.get_parsed_content("network_def")


def _exported(root: Path, folder: Path) -> Step:
    return skipped("export", f"no export to compare in {root.name}")
