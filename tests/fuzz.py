"""Random networks through everything that must agree, bit by bit.

`python tests/fuzz.py --networks N --seed S` draws N networks and compares the golden model with torch
and with the decoder of the memory images (all of them), with the compiled HLS C++ (a share), and
with the RTL in Icarus, with and without stalls, whose cycles are compared with the cycle model's (a
share). A failure is shrunk by hypothesis, printed, and saved as a network file, which
`python tests/fuzz.py --replay FILE` checks again. One seed gives the same networks every time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import emulation
import numpy as np
from decoder import decode
from hypothesis import HealthCheck, Phase, given, seed, settings
from networks import doubled
from random_networks import networks

from jp_hw import boards, golden, ir_file
from jp_hw.csim import FLAGS, ap_types, csim
from jp_hw.emit.hls import hls_files
from jp_hw.emit.rtl import rtl_files
from jp_hw.errors import JpHwError
from jp_hw.ir import Network
from jp_hw.macs import ANY, count
from jp_hw.plan import Plan
from jp_hw.resources import data_dir
from jp_hw.schedule import Design, Placement, place, schedule
from jp_hw.schedule.allocate import MOST_SHARE
from jp_hw.schedule.assign import assign, channel_work
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.interleave import Factors, interleave
from jp_hw.schedule.memories import NEAR_MERGE
from jp_hw.schedule.search import DEEP
from jp_hw.schedule.silent import without_silent
from jp_hw.simulate import frame_bytes, run_rtl
from jp_hw.templates_env import static

BOARD = boards.load("pynq-z2")
STALLS = (0.0, 0.3)


def check_emulation(network: Network) -> None:
    """The golden model against torch: every tensor."""
    found = golden.tensors(network, network.samples)
    for name, values in emulation.tensors(network, network.samples).items():
        assert np.array_equal(found[name], values), f"torch has another {name}"


def check_decoder(network: Network) -> None:
    """The golden model against the memory images: few and many streams, drained late and early."""
    seed = abs(int(network.samples.sum()))
    for number, late in enumerate((False, True)):
        placements = placed(network, doubled(network, seed) if late else {}, 1 + number)
        design = place(network, BOARD, 100.0, placements)
        logits, _, _ = decode(design, network.samples, late=late, seed=number)
        assert np.array_equal(logits, golden.run(network, network.samples)), "decoder differs"


def placed(network: Network, columns: Factors, most: int) -> list[Placement]:
    """A PE more in each layer, up to `most` streams, groups of up to 8 PEs, some columns interleaved,
    some lanes joined, some queues of winners in block RAM."""
    computed, placements = interleave(without_silent(network), columns), []
    tensors = golden.tensors(computed, computed.samples)
    for i, layer in enumerate(computed.layers):
        work = channel_work(network, layer, tensors)
        pes = min(work.shape[1], most + i)
        streams = 1 if layer is computed.layers[-1] or most > NEAR_MERGE else min(pes, most)
        beside = (0, 1, 0, ANY)[(computed.samples[0].size + i + most) % 4]
        places, joined = assign(work, pes), bool((computed.samples[0].size + most) % 3)
        share, deep = 1 + (computed.samples[0].size + 3 * i) % MOST_SHARE, (most + i) % 3 == 0
        placements.append(
            Placement(
                places,
                streams,
                columns.get(layer.name, 1),
                beside=beside,
                joined=joined,
                share=share,
                winners=DEEP if deep else 0,
            )
        )
    return placements


def check_csim(network: Network) -> None:
    """The golden model against the HLS C++ of the scheduled design."""
    with tempfile.TemporaryDirectory() as name:
        build = Plan(hls_files(scheduled(network)), {}).write(Path(name) / "build")
        logits = csim(build, network.samples)
    assert np.array_equal(logits, golden.run(network, network.samples)), "csim differs"


def check_rtl(network: Network, simulator: str = "icarus") -> None:
    """The golden model, its counts and the cycle model against the RTL."""
    design = scheduled(network)
    exact, counts = (
        golden.run(network, network.samples),
        count(network, network.samples, beside=design.beside, computed=design.computed),
    )
    predicted = simulate_cycles(design, network.samples)
    with tempfile.TemporaryDirectory() as name:
        build = Plan(rtl_files(design), {}).write(Path(name) / "build")
        for stall in STALLS:
            run = run_rtl(
                build,
                [layer.name for layer in network.layers],
                frame_bytes(network.samples),
                network.classes,
                simulator=simulator,
                stall=stall,
                settle=64 + max(1 << layer.ring_bits for layer in design.layers),
                timeout=600,
            )
            assert np.array_equal(run.logits, exact), f"RTL differs at stall {stall}"
            for layer in counts:
                assert run.registers[f"{layer.name}_macs"] == layer.executed, (
                    f"MACs of {layer.name}"
                )
            if stall == 0.0:
                ends = [end - run.start_cycle for end in run.end_cycles]
                assert predicted.end_cycles.tolist() == ends, "the cycle model differs"


@contextmanager
def quick_compiler() -> Iterator[None]:
    """Let csim compile without optimization, and with its headers precompiled: that is most of it.

    It works by ``CXX`` and ``CXXFLAGS``, which Verilator reads too: they are put back at the end.
    """
    with tempfile.TemporaryDirectory() as folder:
        headers = precompiled_headers(Path(folder))
        names = {"CXX": "g++", "CXXFLAGS": f"-O0 -w -include {headers}"}
        with mock.patch.dict(os.environ, names):
            yield


def precompiled_headers(folder: Path) -> Path:
    """The HLS back end's headers in ``folder``, and one that includes them all, precompiled."""
    headers = folder / "headers.hpp"
    for name in static_hls():
        (folder / name).write_text(static(f"hls/{name}"))
    headers.write_text('#include "jp_engine.hpp"\n#include <fstream>\n#include <iterator>\n')
    flags = [*FLAGS, "-O0", "-w", "-isystem", str(ap_types())]
    subprocess.run(["g++", *flags, "-x", "c++-header", headers, "-o", f"{headers}.gch"], check=True)
    return headers


def static_hls() -> list[str]:
    """Names of the HLS back end's headers."""
    folder = data_dir("templates").joinpath("hls")
    return sorted(path.name for path in folder.glob("*.hpp"))


def scheduled(network: Network) -> Design:
    """The scheduler's design, or for every second network one as `placed`."""
    seed = abs(int(network.samples.sum()))
    if seed % 2:  # few PEs, or so many behind a merge that it chooses in two steps
        most = 2 if seed % 4 == 1 else 2 * NEAR_MERGE
        return place(network, BOARD, 100.0, placed(network, doubled(network, seed), most))
    return schedule(network, BOARD, pes=3 * len(network.layers))


Check = Callable[[Network], None]
CHECKS: dict[str, Check] = {
    "emulation": check_emulation,
    "decoder": check_decoder,
    "csim": check_csim,
    "rtl": check_rtl,
}


@dataclass
class Campaign:
    """Checks a stream of networks: each check takes every n-th one."""

    every: dict[str, int]
    log: Callable[[str], None] = print
    done: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    failing: tuple[str, Network] | None = None

    def take(self, network: Network) -> None:
        """Check a network; while a failure is being shrunk, only with the check that failed."""
        if self.failing is not None:
            self._check(self.failing[0], network)
            return
        number = self.done["networks"]
        self.done["networks"] += 1
        self._count(network)
        for name, step in self.every.items():
            if step and number % step == 0:
                self._check(name, network)
                self.done[name] += 1
        if self.done["networks"] % 100 == 0:
            self.log(self.summary)

    def _check(self, name: str, network: Network) -> None:
        try:
            CHECKS[name](network)
        except (AssertionError, JpHwError):
            self.failing = (name, network)
            raise

    def _count(self, network: Network) -> None:
        for layer in network.layers:
            self.kinds["layers"] += 1
            self.kinds["sums"] += len(layer.sources) > 1
            self.kinds["pools"] += layer.pool is not None
            rule = layer.requantize
            self.kinds["tables"] += rule is not None and rule.table is not None

    @property
    def summary(self) -> str:
        return ", ".join(f"{n} {name}" for name, n in (self.done + self.kinds).items())

    def run(self, networks_: int, seed_: int, *, shrink: bool = True) -> None:
        """Check so many networks of a seed; the shrunk failure is raised."""
        phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]

        @seed(seed_)
        @settings(
            max_examples=networks_, deadline=None, database=None, phases=phases,
            suppress_health_check=list(HealthCheck), print_blob=False,
        )  # fmt: skip
        @given(networks())
        def body(network: Network) -> None:
            self.take(network)

        body()


def report(campaign: Campaign, folder: Path) -> None:
    """Print the last failing network, which is the smallest one, and save it."""
    assert campaign.failing is not None
    name, network = campaign.failing
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    ir_file.save(network, path)
    print(network)
    print(f"{name} failed on this network; again with: python tests/fuzz.py --replay {path}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Random networks through everything.")
    parser.add_argument("--networks", type=int, default=100, help="how many to draw")
    parser.add_argument("--seed", type=int, help="of the networks; from the clock unless given")
    parser.add_argument(
        "--csim", type=int, default=1, help="every n-th one goes through csim, 0: none"
    )
    parser.add_argument(
        "--rtl", type=int, default=10, help="every n-th one through Icarus, 0: none"
    )
    parser.add_argument("--replay", type=Path, help="check one saved network")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="where failures go")
    options = parser.parse_args()
    if options.replay:
        network = ir_file.load(options.replay)
        for name, check in CHECKS.items():
            check(network)
            print(f"{name}: as the golden model")
        return 0
    seed_ = options.seed if options.seed is not None else int(time.time())
    print(f"seed {seed_}: again with python tests/fuzz.py --networks {options.networks} "
          f"--csim {options.csim} --rtl {options.rtl} --seed {seed_}")  # fmt: skip
    begin = time.monotonic()
    campaign = Campaign(
        {"emulation": 1, "decoder": 1, "csim": options.csim, "rtl": options.rtl},
        log=lambda text: print(text, flush=True),
    )
    try:
        with quick_compiler():
            campaign.run(options.networks, seed_)
    except (AssertionError, JpHwError) as error:
        print(f"{type(error).__name__}: {error}")
        report(campaign, options.out)
        return 1
    print(f"{campaign.summary}: all equal, {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
