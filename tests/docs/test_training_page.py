"""The recipes of docs/training.md do what the page says."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.data.utils import set_rnd

from medseg import transforms
from medseg.training.schedule import SHAPES

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
RECIPES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(augmentation:.*?)```", PAGE, re.DOTALL)]
LABELS = {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 3}


def case(n_channels, size):
    chance = torch.Generator().manual_seed(0)
    label = torch.randint(0, 4, (1, *size), generator=chance, dtype=torch.uint8)
    return {"case": "a", "image": torch.rand((n_channels, *size), generator=chance), "label": label}


@pytest.mark.parametrize(
    ("recipe", "n_channels", "size", "patch"),
    [(0, 4, (20, 18, 22), (16, 16, 16)), (1, 3, (40, 30), (24, 24))],
    ids=["MR", "RGB"],
)
def test_a_recipe_of_the_page_cuts_patches_with_declared_labels(recipe, n_channels, size, patch):
    parser = ConfigParser({**RECIPES[recipe], "labels": LABELS})
    chain = parser.get_parsed_content("augmentation")
    before = case(n_channels, size)
    for seed in range(12):
        set_rnd(chain, seed)
        visit = chain(dict(before))
        assert visit["image"].shape == (n_channels, *patch)
        assert visit["label"].shape == (1, *patch)
        assert bool(torch.isfinite(visit["image"]).all())
        assert set(visit["label"].unique().tolist()) <= set(LABELS.values())


def test_every_transform_of_ours_is_on_the_page():
    assert [name for name in transforms.__all__ if name not in PAGE] == []


def test_every_schedule_is_on_the_page():
    assert [name for name in SHAPES if f"| `{name}` |" not in PAGE] == []
