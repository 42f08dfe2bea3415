"""Tests marked `data` read real scans from the folder in MEDSEG_TEST_DATA; without it they cannot run."""

import os

import pytest


def pytest_collection_modifyitems(items):
    if "MEDSEG_TEST_DATA" not in os.environ:
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason="MEDSEG_TEST_DATA is not set"))
