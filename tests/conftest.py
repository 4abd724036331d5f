"""Shared fixtures: the demo build of the zoo's mlp3, and a small build with its simulated board."""

from pathlib import Path

import pytest
from board_fixtures import board_build, board_bundle

from jp_hw import boards, zoo
from jp_hw.build import Build, emit, open_build
from jp_hw.evaluate import network_of
from jp_hw.schedule import schedule

__all__ = ["board_build", "board_bundle", "demo_build"]


@pytest.fixture(scope="session")
def demo_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The zoo's mlp3 for the PYNQ-Z2, written and read back."""
    artifact = zoo.load("mlp3")
    samples = artifact.samples()
    design = schedule(network_of(artifact), boards.load("pynq-z2"))
    folder: Path = tmp_path_factory.mktemp("demo") / "build"
    return open_build(emit(design, samples.images, samples.labels).write(folder))
