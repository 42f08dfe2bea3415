import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
TARGETS = sorted(
    {
        target
        for config in ROOT.glob("bundles/*/configs/*.yaml")
        for target in re.findall(r"_target_: (medseg[\w.]+)", config.read_text())
    }
    | {"medseg.losses.build", "medseg.networks.build"}
)


@pytest.mark.parametrize("target", TARGETS)
def test_no_module_hides_a_name_that_bundles_use(target):
    # MONAI finds `_target_` by pydoc.locate, which prefers a module to a function of the same name.
    package, _, name = target.rpartition(".")
    assert not (ROOT / package.replace(".", "/") / f"{name}.py").exists()
    assert not isinstance(getattr(importlib.import_module(package), name), ModuleType)
