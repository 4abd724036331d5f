"""A build in both back ends: what every test of a whole design demands."""

import numpy as np

from jp_hw import golden
from jp_hw.build import Build
from jp_hw.csim import csim
from jp_hw.simulate import simulate


def check_both(build: Build) -> None:
    """HLS C++ and RTL, without and with stalls, are golden; counters and predicted cycles are exact."""
    assert np.array_equal(csim(build.folder, build.images), golden.run(build.network, build.images))
    for stall in (0.0, 0.3):
        report = simulate(build, len(build.images), simulator="icarus", stall=stall)
        assert report.passed and report.mismatches == 0 and report.counters_exact
        if stall == 0.0:
            assert report.predicted == report.run.cycles_per_image
