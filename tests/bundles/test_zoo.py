"""What the model zoo's full check asks of a bundle, by MONAI's own functions, from the zoo's folder.

The steps and their arguments are those of ci/verify_bundle.py in Project-MONAI/model-zoo; the schema lies at
eval/schema.json, so that nothing is downloaded.
"""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out

from medseg.bundle.lint.metadata import schema

ROOT = Path(__file__).parents[2]
# A bundle without weights is on test_contract's list of those to come.
BUNDLES = sorted(path.parents[1] for path in ROOT.glob("bundles/*/models/model.pt"))

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name),
]


@pytest.fixture
def zoo(bundle, tmp_path, monkeypatch):
    """A zoo that holds the bundle at models/NAME, as the working directory; gives that relative path."""
    place = Path("models") / bundle.name
    shutil.copytree(bundle, tmp_path / place, ignore=shutil.ignore_patterns("eval", "runs"))
    (tmp_path / place / "eval").mkdir()
    (tmp_path / place / "eval" / "schema.json").write_text(json.dumps(schema()))
    monkeypatch.chdir(tmp_path)
    return place


def test_the_files_and_the_version_are_as_the_zoo_asks(zoo):
    for name in ("LICENSE", "configs/metadata.json", "models/model.pt"):
        assert (zoo / name).is_file()
    assert any((zoo / "configs" / f"inference.{suffix}").is_file() for suffix in ("json", "yaml", "yml"))
    assert not any((zoo / f"large_files.{suffix}").exists() for suffix in ("yml", "yaml", "json"))
    metadata = json.loads((zoo / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]


def test_metadata_network_and_torchscript_pass_the_checks_of_the_zoo(zoo):
    meta, config, root = (str(zoo / "configs" / "metadata.json"), str(config_of(zoo)), str(zoo))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verify_metadata(meta_file=meta, filepath=str(zoo / "eval" / "schema.json"))
        verify_net_in_out(net_id="network_def", meta_file=meta, config_file=config, bundle_root=root)
        ckpt_export(
            net_id="network_def",
            filepath=str(zoo / "models" / "verify_model.ts"),
            ckpt_file=str(zoo / "models" / "model.pt"),
            meta_file=meta,
            config_file=config,
            bundle_root=root,
        )
        exported = torch.jit.load(str(zoo / "models" / "verify_model.ts"))
    own = torch.load(zoo / "models" / "model.pt", weights_only=True)
    assert set(exported.state_dict()) == set(own)


def config_of(zoo):
    return next(
        p for p in (zoo / "configs" / f"inference.{s}" for s in ("json", "yaml", "yml")) if p.is_file()
    )
