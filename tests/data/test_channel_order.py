import pytest

from medseg.data.channel_order import in_order_of, places_of
from medseg.data.manifest import Case, Manifest
from medseg.errors import ManifestError

BRATS = ("FLAIR", "T1", "T1ce", "T2")


def manifest(channels, *images):
    hashes = {"image": tuple(f"hash of {image}" for image in images), "label": ("hash of l",)}
    case = Case("a", "a", images, "l.nii", hashes)
    return Manifest("m", "1", tuple(channels), {"tumour": 1}, items=(case,))


def test_channels_and_their_hashes_are_brought_to_the_wanted_order_by_name():
    given = manifest(["T1", "T1Gd", "T2", "t2f"], "1.nii", "c.nii", "2.nii", "f.nii")
    ordered = in_order_of(given, BRATS)
    assert ordered.channels == ("t2f", "T1", "T1Gd", "T2")
    assert ordered.items[0].image == ("f.nii", "1.nii", "c.nii", "2.nii")
    assert ordered.items[0].sha256["image"] == tuple(f"hash of {p}" for p in ordered.items[0].image)
    assert ordered.items[0].sha256["label"] == ("hash of l",)


def test_what_is_not_wanted_is_left_out():
    given = manifest(["T1", "FLAIR"], "1.nii", "f.nii")
    assert in_order_of(given, ["FLAIR"]).items[0].image == ("f.nii",)


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        (BRATS, BRATS),
        (("MR",), ("image",)),
        (("CT",), ("T1",)),
        (("channel 0", "channel 1"), ("T1", "T2")),
        (("T1", "T2"), ()),
        (("before", "after"), ("T1", "T2")),
        (("red", "green", "blue"), ("red", "green", "blue")),
    ],
)
def test_equal_and_nameless_channels_stay_as_they_are(own, wanted):
    assert places_of(own, wanted) is None


def test_a_channel_that_is_not_there_is_named():
    with pytest.raises(ManifestError, match="none of them T1ce or T2"):
        in_order_of(manifest(["FLAIR", "T1"], "f.nii", "1.nii"), BRATS)


def test_channels_of_one_file_in_another_order_are_refused():
    with pytest.raises(ManifestError, match="a file for each channel"):
        in_order_of(manifest(["T1", "T1ce", "T2", "FLAIR"], "all.nii"), BRATS)
