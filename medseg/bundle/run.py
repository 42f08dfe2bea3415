"""Running a bundle's verb from anywhere, with overrides that must name something and errors in one line."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medseg.bundle.restricted import check
from medseg.bundle.verbs import ALIASES, config_files, read_config
from medseg.errors import MedsegError, OverrideError


def run_verb(
    bundle: Path,
    verb: str,
    overrides: Mapping[str, Any],
    *,
    trust: bool = False,
    output: Path | None = None,
) -> None:
    """Do what ``python -m monai.bundle run VERB`` does, from any working directory.

    Args:
        bundle: its folder.
        verb: ``training``, ``evaluating`` or ``inferring``, or their short names.
        overrides: id to value; checked before anything is built.
        trust: run whatever the bundle holds; without it a stranger's opens in restricted mode or not at all.
        output: in restricted mode nothing is written elsewhere; ``eval`` here if left out.

    Raises:
        OverrideError: an override names nothing in the config, or a component of training does not take it.
        MedsegError: what a component of ours raised, without MONAI's wrapping.
    """
    files = config_files(bundle, verb)
    check_overrides_of(bundle, verb, overrides)
    mode = check(bundle, trust=trust, files=files)
    place = (output or Path("eval")).resolve()
    ids = _ids(files)
    chosen = set(overrides)
    overrides = {**mode.overrides(ids, place), **overrides}
    quieten_monai()
    if mode.full:
        use_scripts(bundle.resolve())
    from monai.bundle import ConfigWorkflow

    logging_file = bundle / "configs" / "logging.conf"
    workflow = ConfigWorkflow(
        config_file=[str(path) for path in files],
        logging_file=str(logging_file) if mode.full and logging_file.is_file() else False,
        run_id=_run_id(ids, verb),
        **{key.replace("::", "#"): value for key, value in overrides.items()},
    )
    try:
        with mode.kept_in(place), initialized(workflow):
            workflow.run()
    except MedsegError:
        raise
    except Exception as error:
        given = {key: value for key, value in overrides.items() if key in chosen - _PLACES}
        # After the first step, or in another verb, an error is more likely ours and keeps its traceback.
        if not given or ALIASES.get(verb, verb) != "training" or _steps_of(workflow):
            raise
        raise _refused(verb, given, error) from error


_PLACES = {"bundle_root", "output_dir", "ckpt_dir", "dataset_dir", "manifest", "channels", "resume"}
_PLACES |= {"budget", "budget_began"}
"""What `medseg train` sets by itself."""


def _steps_of(workflow: Any) -> int:
    """How many steps of training were made; 0 where no trainer was built."""
    built = getattr(workflow.parser.ref_resolver, "resolved_content", {})
    return int(getattr(getattr(built.get("train::trainer"), "state", None), "iteration", 0))


def _refused(verb: str, given: Mapping[str, Any], error: BaseException) -> OverrideError:
    """What a component says of the values that a user gave, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    values = " ".join(f"--{key} {value}" for key, value in given.items())
    text = " ".join(str(error).split())[:300]
    return OverrideError(
        f"{verb} ended before its first step with {values}: {type(error).__name__}: {text}",
        "values that the bundle's components take",
        "correct them, or leave them out to see whether they are at fault",
    )


@contextmanager
def initialized(workflow: Any) -> Iterator[None]:
    """MONAI's workflow ready to run, and finalized after the block; an error of ours comes out unwrapped."""
    try:
        workflow.initialize()
        yield
    except Exception as error:
        cause = _cause_of(error)
        if cause is error:
            raise
        raise cause from error
    finally:
        workflow.finalize()


def _run_id(ids: Sequence[str], verb: str) -> str:
    """The verb's name where the config has it, as ours do; ``run``, as in the model zoo, where it has not."""
    name = ALIASES.get(verb, verb)
    return name if name in ids else "run"


def _ids(files: Sequence[Path]) -> list[str]:
    return list(read_config(list(files)))


def use_scripts(bundle: Path) -> None:
    """Let the bundle's own ``scripts`` be imported; MONAI does so only while it runs.

    Python leaves no compiled code in the bundle, where a recorded hash would not cover it.
    """
    has_code = any(bundle.glob("*.py")) or any(bundle.glob("*/*.py"))
    if has_code and str(bundle) not in sys.path:
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(bundle))


def quieten_monai() -> None:
    """Keep two notices of MONAI 1.6.1 to itself that no user can act on: a GPU codec and its log set-up."""
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader", category=UserWarning)


def check_overrides_of(bundle: Path, verb: str, overrides: Mapping[str, Any]) -> None:
    """Return where every override names something in the verb's config, and is of its kind.

    Raises:
        OverrideError: one does not; told with the nearest name, or with what is there.
        BundleError: the config cannot be read.
    """
    from medseg.bundle.lint import Bundle, check_kinds, check_overrides

    config = Bundle(bundle).merged(config_files(bundle, verb))
    if config is not None:
        check_overrides(config, overrides)
        check_kinds(config, overrides)


def _cause_of(error: BaseException) -> BaseException:
    """The `MedsegError` that an error of MONAI's wraps, or the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MedsegError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error
