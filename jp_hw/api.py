"""The stages as functions: a torch model in, a simulated accelerator out.

    network = quantize(model, calibration)          # torch.nn.Module, uint8 (n, h, w, c)
    design = schedule(network, load_board("pynq-z2"))
    build = emit(design).write(Path("build/mine"))
    report = simulate(build)

Each stage's input and output are described at its definition. Nothing is written or started before
`Plan.write`, `csim` and `simulate`.
"""

from jp_hw.boards import Board
from jp_hw.boards import load as load_board
from jp_hw.build import Build, emit, open_build
from jp_hw.csim import csim
from jp_hw.errors import JpHwError
from jp_hw.golden import run as golden
from jp_hw.ir import Network
from jp_hw.plan import Plan
from jp_hw.quantize import quantize
from jp_hw.schedule import Design, schedule
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.simulate import Report, simulate

__all__ = [
    "Board",
    "Build",
    "Design",
    "JpHwError",
    "Network",
    "Plan",
    "Report",
    "csim",
    "emit",
    "golden",
    "load_board",
    "open_build",
    "quantize",
    "schedule",
    "simulate",
    "simulate_cycles",
]
