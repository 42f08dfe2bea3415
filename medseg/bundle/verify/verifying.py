"""Does a bundle do what it says? Lint first, then every part of it at work on synthetic cases."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from medseg.bundle.lint import Bundle, lint
from medseg.bundle.restricted import Mode, check
from medseg.bundle.verify.scores import check_scores
from medseg.bundle.verify.step import Step, failed, passed, skipped
from medseg.bundle.weights import SUMS, changed_files, check_sums, files_of, has_sums
from medseg.errors import MedsegError


def verify(bundle: str | os.PathLike[str], *, trust: bool = False) -> Iterator[Step]:
    """Each step as it is done; those that run the bundle are left out where it may not run.

    Writes to a temporary folder alone.

    Args:
        bundle: its folder.
        trust: run it even if restricted mode refuses it.

    Raises:
        BundleError: there is no bundle.
    """
    root = Path(bundle).resolve()
    faults = [f for f in lint(root) if f.is_error]
    shown = "; ".join(map(str, faults[:5])) + (f" and {len(faults) - 5} more" if len(faults) > 5 else "")
    yield failed("lint", shown) if faults else passed("lint", "no errors")
    meta = Bundle(root).meta.plain()
    yield _sums(root, meta)
    yield check_scores(root, meta)
    try:
        mode = check(root, trust=trust)
    except MedsegError as error:
        yield failed("trust", str(error))
        return
    yield passed("trust", mode.why)
    if any(f.code in ("unreadable", "missing-file") and f.file.startswith("configs/") for f in faults):
        yield failed("running", "a config is missing or cannot be read (see lint), nothing was run")
        return
    with tempfile.TemporaryDirectory(prefix="medseg-verify-") as folder:
        yield from _run(root, meta, mode, Path(folder).resolve(), trust)


def _sums(root: Path, meta: dict[str, Any]) -> Step:
    try:
        if not has_sums(root) or not (root / SUMS).is_file():
            ours = "medseg" in str(meta.get("required_packages_version", ""))
            told = f"models/{SUMS} or {SUMS} is missing; for a bundle of your own say --sums"
            return (failed if ours else skipped)("sha256", told)
        check_sums(root)
        changed = changed_files(root)
    except MedsegError as error:
        return failed("sha256", str(error))
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        return failed("sha256", f"not as in {SUMS}: {', '.join(changed[:5])}{more}")
    return passed("sha256", f"{sum(1 for _ in files_of(root))} files are the recorded ones")


def _run(root: Path, meta: dict[str, Any], mode: Mode, folder: Path, trust: bool) -> Iterator[Step]:
    from medseg.bundle.verify.network import check_network
    from medseg.bundle.verify.phantoms import fit_of
    from medseg.bundle.verify.running import check_inferring, check_prediction, check_training

    bundle = Bundle(root)
    config = bundle.config("inference")
    if config is None:
        yield failed("running", "no inference config, nothing was run")
        return
    try:
        with mode.kept_in(folder):
            yield from list(check_network(root, _network(root, mode), meta, folder))
    except Exception as error:  # noqa: BLE001 - whatever a bundle's own parts raise is told, and verify fails
        yield failed("network", _line(error))
    try:
        fit = fit_of(bundle, config)
    except (TypeError, ValueError, KeyError) as error:
        yield failed("running", f"no synthetic case can be made by its metadata: {_line(error)}")
        return

    def kept() -> Step:
        with mode.kept_in(folder):
            return check_prediction(root, fit, folder, trust=trust)

    yield _attempt("prediction", kept)
    yield _attempt("inferring", lambda: check_inferring(root, fit, folder, mode))
    if bundle.config("train") is None:
        yield skipped("training", "there is no train config")
    else:
        yield _attempt("training", lambda: check_training(root, fit, folder, mode))


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
    from monai.bundle import ConfigParser

    from medseg.bundle.predicting import inference_config
    from medseg.bundle.run import quieten_monai, use_scripts

    quieten_monai()
    if mode.full:
        use_scripts(root)
    parser = ConfigParser()
    parser.read_config(inference_config(root))
    parser["bundle_root"] = str(root)
    parser["device"] = "$torch.device('cpu')"
    return parser.get_parsed_content("network_def")
