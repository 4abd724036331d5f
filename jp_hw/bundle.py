"""The bundle: all that a board needs, in one folder whose files know each other's hashes."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np

from jp_hw import golden
from jp_hw.boards import Board
from jp_hw.build import Build
from jp_hw.ir_file import digest
from jp_hw.macs import count
from jp_hw.plan import write_inside
from jp_hw.processors import RANGE, ports_of, settings_of
from jp_hw.registers import COUNTERS, MAGIC, VERSION, register_map
from jp_hw.resources import PACKAGE
from jp_hw.shell import BOARD_TOP
from jp_hw.templates_env import render
from jp_hw.vivado.script import DESIGN, DMA_SETTINGS

FORMAT = "jp_hw-bundle-1"
MANIFEST = "bundle.json"
DRIVER = "jp_hw_board"
"""The driver's name on the board: the package that is `jp_hw.driver` here."""

PLL_MHZ = {"ps7": 1000.0, "psu": 1500.0}
"""The I/O PLL that feeds the logic's clocks, as the boards' boot loaders set it."""
CLOCK_NAMES = {
    "ps7": (
        "PCW_FPGA_FCLK{}_ENABLE",
        "PCW_FCLK{}_PERIPHERAL_DIVISOR{}",
        "PCW_FCLK{}_PERIPHERAL_CLKSRC",
    ),
    "psu": (
        "PSU__FPGA_PL{}_ENABLE",
        "PSU__CRL_APB__PL{}_REF_CTRL__DIVISOR{}",
        "PSU__CRL_APB__PL{}_REF_CTRL__SRCSEL",
    ),
}


def bundle_files(
    build: Build, bitstream: bytes, metadata: str, more: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """Name -> content of a bundle.

    bitstream: overlay.bit; metadata: overlay.hwh; more: other files that come along. The build's
    images, with their golden logits and counts, are there for the board's self-test.
    """
    files = {
        "overlay.bit": bitstream,
        "overlay.hwh": metadata.encode(),
        "vectors.npz": _vectors(build),
        **driver_files(),
        **(more or {}),
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    text = json.dumps(_manifest(build, hashes), indent=2) + "\n"
    return {**files, MANIFEST: text.encode()}


def write_bundle(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write a bundle to a folder, in place of what was there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    for name, content in files.items():
        write_inside(partial, name, content)
    partial.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    return partial.rename(folder)


def driver_files() -> dict[str, bytes]:
    """The driver's modules, as they are."""
    return {
        f"{DRIVER}/{path.name}": path.read_bytes()
        for path in sorted((PACKAGE / "driver").glob("*.py"))
    }


def metadata_text(board: Board, clock_mhz: float) -> str:
    """A .hwh for PYNQ, for flows in which no Vivado writes one; same names and addresses as its."""
    ports = ports_of(board)
    device, _, rest = board.part.partition("-")
    for package in ("clg400", "clg484"):
        if device.endswith(package):
            device, rest = device.removesuffix(package), f"{package}-{rest}"
    return render(
        "board/overlay.hwh.j2",
        timestamp="0",
        architecture="zynq" if board.processor.kind == "ps7" else "zynquplus",
        device=device,
        package=rest.partition("-")[0],
        speed=f"-{rest.partition('-')[2]}",
        design=DESIGN,
        shell=BOARD_TOP,
        system=ports.system,
        addresses=ports.addresses,
        range=RANGE,
        dma=DMA_SETTINGS,
        settings={**settings_of(board, clock_mhz), **_clocks(board, clock_mhz)},
        control_port=board.processor.control_port,
        memory_port=board.processor.memory_port,
    )


def _clocks(board: Board, clock_mhz: float) -> dict[str, str]:
    """What PYNQ reads of the four clocks, of which the first is ours: divisors of the I/O PLL."""
    pairs = ((a, b) for a in range(1, 64) for b in range(1, a + 1))
    pll = PLL_MHZ[board.processor.kind]
    first, second = min(pairs, key=lambda pair: (abs(pll / (pair[0] * pair[1]) - clock_mhz), pair))
    found: dict[str, str] = {}
    for i in range(4):
        enable, divisor, source = CLOCK_NAMES[board.processor.kind]
        found[enable.format(i)] = str(int(i == 0))
        found[divisor.format(i, 0)] = str(first if i == 0 else 1)
        found[divisor.format(i, 1)] = str(second if i == 0 else 1)
        found[source.format(i)] = "IO PLL" if board.processor.kind == "ps7" else "IOPLL"
    return found


def _manifest(build: Build, hashes: Mapping[str, str]) -> dict[str, object]:
    network, design = build.network, build.design
    shape = network.input.shape
    names = tuple(layer.name for layer in design.layers)
    return {
        "format": FORMAT,
        "jp_hw": version("jp_hw"),
        "model": network.name,
        "digest": digest(network),
        "board": design.board.name,
        "board_names": [design.board.name, *design.board.pynq.names],
        "clock_mhz": design.clock_mhz,
        "input": {
            "height": shape.height,
            "width": shape.width,
            "channels": shape.channels,
            "signed": network.input.signed,
        },
        "classes": network.classes,
        "magic": MAGIC,
        "version": VERSION,
        "layers": list(names),
        "counters": list(COUNTERS),
        "registers": {register.name: register.offset for register in register_map(names)},
        "expected_counters": {
            layer.name: {"macs": layer.executed, "frames": len(build.images)}
            for layer in count(
                network,
                build.images,
                beside=build.design.beside,
                computed=build.design.computed,
            )
        },
        "files": dict(hashes),
    }


def _vectors(build: Build) -> bytes:
    packed = BytesIO()
    dtype = np.int8 if build.network.input.signed else np.uint8
    np.savez_compressed(
        packed,
        images=build.images.astype(dtype),
        logits=golden.run(build.network, build.images),
    )
    return packed.getvalue()
