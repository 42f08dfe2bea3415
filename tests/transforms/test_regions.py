"""From labels to overlapping regions and back."""

import pytest
import torch

from medseg.errors import LabelError
from medseg.postprocess import RegionsToLabelsd
from medseg.transforms import LabelsToRegionsd

BRATS = {"WT": [1, 2, 4], "TC": [1, 4], "ET": [4]}
LABELS = torch.tensor([[[0, 1, 2, 4]]])


def test_each_region_is_the_union_of_its_numbers():
    regions = LabelsToRegionsd("label", BRATS)({"label": LABELS})["label"]
    assert regions.tolist() == [[[0, 1, 1, 1]], [[0, 1, 0, 1]], [[0, 0, 0, 1]]]


def test_painting_the_regions_gives_the_labels_again():
    case = LabelsToRegionsd("label", BRATS)({"label": LABELS})
    back = RegionsToLabelsd("label", {"WT": 2, "TC": 1, "ET": 4})(case)["label"]
    assert back.tolist() == LABELS.tolist()


def test_a_number_in_no_region_is_refused():
    with pytest.raises(LabelError, match="label values 3 in no region"):
        LabelsToRegionsd("label", BRATS)({"label": torch.tensor([[0, 3]])})


def test_another_number_of_channels_than_of_regions_is_refused():
    with pytest.raises(LabelError, match="2 channels"):
        RegionsToLabelsd("pred", {"WT": 2, "TC": 1, "ET": 4})({"pred": torch.zeros(2, 4, 4)})
