"""Every mistake of a user that medseg can name, each with what was found, what was expected and what to do.

    MedsegError
      ManifestError        a manifest that cannot be used
      DataError            a file that is missing, damaged or not what its name says
        GeometryError      two grids that should be one, or a grid that is not one
        LabelError         a label map with values nobody declared
      BundleError          a bundle that cannot be used as asked
        OverrideError      an override that names nothing in the config
      OutputError          a place that cannot be written, or that holds work already
      DownloadError        a file that could not be fetched or is not the published one
      TrainingError        a run that was stopped because going on would waste or spoil it

At the command line a `MedsegError` is one line on stderr and exit code 2; everything else is our own bug and
keeps its traceback.
"""

from __future__ import annotations


class MedsegError(Exception):
    """A user's mistake, told in three parts.

    Args:
        found: what is there, with the value and the path.
        expected: what should be there.
        do: the next step that mends it.
    """

    def __init__(self, found: str, expected: str, do: str) -> None:
        super().__init__(found, expected, do)
        self.found, self.expected, self.do = found, expected, do

    def __str__(self) -> str:
        return f"{self.found}; expected {self.expected}; {self.do}"

    def within(self, context: str) -> MedsegError:
        """The same error with the place it was met put in front, for callers that know more."""
        return type(self)(f"{context}: {self.found}", self.expected, self.do)


class ManifestError(MedsegError):
    """A manifest that cannot be used."""


class DataError(MedsegError):
    """A file that is missing, damaged or not what its name says."""


class GeometryError(DataError):
    """Two grids that should be one, or a grid that is not one."""


class LabelError(DataError):
    """A label map with values nobody declared."""


class BundleError(MedsegError):
    """A bundle that cannot be used as asked."""


class OverrideError(BundleError):
    """An override that names nothing in the config."""


class OutputError(MedsegError):
    """A place that cannot be written, or that holds work already."""


class DownloadError(MedsegError):
    """A file that could not be fetched or is not the published one."""


class TrainingError(MedsegError):
    """A run that was stopped because going on would waste or spoil it."""
