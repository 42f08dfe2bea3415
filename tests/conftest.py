"""Tests marked `data` read real scans from the folder in MEDSEG_TEST_DATA; without it they cannot run."""

import os
import sys
import uuid

import pytest
from absl import logging

# absl (of TensorBoard and OpenVINO) closes the stream that it was born with when MONAI clears the logging
# handlers, unless that is the real stderr; here it would be the capture of the whole test session.
logging.get_absl_handler().python_handler.setStream(sys.__stderr__)


def pytest_collection_modifyitems(items):
    if "MEDSEG_TEST_DATA" not in os.environ:
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason="MEDSEG_TEST_DATA is not set"))


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory, monkeypatch):
    """What medseg remembers of bundles goes to a folder of this one test, not to the home of who runs it."""
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path_factory.getbasetemp() / f"medseg-home-{uuid.uuid4()}"))
