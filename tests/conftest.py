"""Shared by all tests: how hypothesis searches, and where real data lies."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("paretodet", deadline=None)  # no test fails for being slow
settings.load_profile("paretodet")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real photographs and annotations, or a skip that says how to name it."""
    folder = os.environ.get("PARETODET_DATA")
    if not folder:
        pytest.skip("PARETODET_DATA is not set")
    return Path(folder)
