"""The cycle model beside event-driven RTL simulation: ``python -m benchmarks.cycle_model BUILD``.

One image of a build through Icarus and cocotb, and through the cycle model: CPU seconds of each, their
ratio, and both numbers of cycles. Icarus' compilation is included; it is a small part where an image
takes minutes. `benchmarks.networks` has the ratio to Verilator's compiled test bench. Prints one JSON
object.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

from benchmarks.measures import children, summary
from jp_hw.build import open_build
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.simulate import simulate


def measured(folder: Path) -> dict[str, Any]:
    """Both ways for the build's first image."""
    build = open_build(folder)
    simulate_cycles(build.design, build.images[:1])  # compiles
    begin = time.process_time()
    predicted = simulate_cycles(build.design, build.images[:1])
    own = time.process_time() - begin
    before = children()
    report = simulate(build, 1, simulator="icarus", bench="cocotb")
    icarus = children() - before
    return {
        "machine": platform.processor() or platform.machine(),
        "model": build.design.network.name,
        "pes": build.design.pes,
        "rtl": summary(report),
        "predicted_cycles": predicted.cycles_per_image,
        "icarus_cpu_seconds": icarus,
        "cycle_model_cpu_seconds": own,
        "cycle_model_speed_over_icarus": icarus / own,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("build", type=Path, help="build folder")
    print(json.dumps(measured(parser.parse_args().build), indent=2))


if __name__ == "__main__":
    main()
