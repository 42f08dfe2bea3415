"""What can be wrong with a label map's file, each under the word that a report calls it by."""

from __future__ import annotations

from medseg.errors import DataError, GeometryError, LabelError


class DamagedFileError(DataError):
    """A file that cannot be read to its end."""

    status = "unreadable"


class NanLabelsError(LabelError):
    """A label map in which some voxels hold no number."""

    status = "nan_labels"


class NonIntegerLabelsError(LabelError):
    """A label map whose values are not whole numbers, for example probabilities."""

    status = "non_integer"


class ColourLabelsError(LabelError):
    """A picture in colours where one number per voxel is needed."""

    status = "rgb"


class SeveralPagesError(DataError):
    """A picture file with more than one page, of which a reader would see the first alone."""

    status = "several_pages"


class SpacingError(GeometryError):
    """A header whose voxel size is zero, negative or not a number."""

    status = "spacing"
