"""A small build with its simulated board and bundle, made once for all tests of boards."""

from pathlib import Path

import pytest
from networks import mlp

from jp_hw import boards
from jp_hw.build import Build, emit, open_build
from jp_hw.overlay import make_bundle
from jp_hw.schedule import schedule


@pytest.fixture(scope="session")
def board_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Three fully connected layers; frames of 21 bytes, so that the last beat is not full."""
    design = schedule(mlp(1, (21, 12, 7, 5)), boards.load("pynq-z2"), 4)
    folder = tmp_path_factory.mktemp("board") / "build"
    return open_build(emit(design).write(folder))


@pytest.fixture(scope="session")
def board_bundle(board_build: Build) -> Path:
    """Its simulated bundle; do not write to it."""
    return Path(make_bundle(board_build, "simulated")["bundle"])
