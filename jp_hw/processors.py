"""The two kinds of processor system: what their IP blocks, ports and settings are called.

Names and addresses are those of AMD's IP processing_system7 (PG082, UG585) and zynq_ultra_ps_e (PG201,
UG1085).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jp_hw.boards import Board
from jp_hw.errors import JpHwError


@dataclass(frozen=True)
class ControlPort:
    """A port through which the processor reads and writes registers; base: where its range begins."""

    clock: str
    base: int
    setting: str


@dataclass(frozen=True)
class MemoryPort:
    """A port into DDR; segment: the address segment of low DDR behind it."""

    clock: str
    segment: str
    setting: str
    width_setting: str


@dataclass(frozen=True)
class ProcessorSystem:
    """An IP block; clock, reset: its outputs to the logic. Settings are names without CONFIG."""

    ip: str
    instance: str
    clock: str
    reset: str
    external: tuple[str, ...]
    reference_setting: str
    clock_setting: str
    fixed: Mapping[str, str]
    control: Mapping[str, ControlPort]
    memory: Mapping[str, MemoryPort]


@dataclass(frozen=True)
class Ports:
    """The ports that a board's accelerator uses, and the addresses that follow."""

    system: ProcessorSystem
    control: ControlPort
    memory: MemoryPort

    @property
    def addresses(self) -> dict[str, int]:
        """Physical address of each block's registers, by instance."""
        return {"accelerator": self.control.base, "dma": self.control.base + RANGE}


RANGE = 0x1_0000
"""Bytes of address space of each block: 64 KiB."""
LENGTH_BITS = 26
"""Bits of the DMA engine's length registers: transfers of up to 64 MiB."""

SYSTEMS: Mapping[str, ProcessorSystem] = {
    "ps7": ProcessorSystem(
        ip="xilinx.com:ip:processing_system7",
        instance="processing_system7",
        clock="FCLK_CLK0",
        reset="FCLK_RESET0_N",
        external=("DDR", "FIXED_IO"),
        reference_setting="PCW_CRYSTAL_PERIPHERAL_FREQMHZ",
        clock_setting="PCW_FPGA0_PERIPHERAL_FREQMHZ",
        fixed={"PCW_EN_CLK0_PORT": "1", "PCW_EN_RST0_PORT": "1"},
        control={
            f"M_AXI_GP{i}": ControlPort(f"M_AXI_GP{i}_ACLK", base, f"PCW_USE_M_AXI_GP{i}")
            for i, base in enumerate((0x4000_0000, 0x8000_0000))
        },
        memory={
            f"S_AXI_HP{i}": MemoryPort(
                f"S_AXI_HP{i}_ACLK",
                f"S_AXI_HP{i}/HP{i}_DDR_LOWOCM",
                f"PCW_USE_S_AXI_HP{i}",
                f"PCW_S_AXI_HP{i}_DATA_WIDTH",
            )
            for i in range(4)
        },
    ),
    "psu": ProcessorSystem(
        ip="xilinx.com:ip:zynq_ultra_ps_e",
        instance="zynq_ultra_ps_e",
        clock="pl_clk0",
        reset="pl_resetn0",
        external=(),
        reference_setting="PSU__PSS_REF_CLK__FREQMHZ",
        clock_setting="PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
        fixed={"PSU__FPGA_PL0_ENABLE": "1"},
        control={
            "M_AXI_HPM0_FPD": ControlPort("maxihpm0_fpd_aclk", 0xA000_0000, "PSU__USE__M_AXI_GP0"),
            "M_AXI_HPM1_FPD": ControlPort("maxihpm1_fpd_aclk", 0xB000_0000, "PSU__USE__M_AXI_GP1"),
            "M_AXI_HPM0_LPD": ControlPort("maxihpm0_lpd_aclk", 0x8000_0000, "PSU__USE__M_AXI_GP2"),
        },
        memory={
            f"S_AXI_HP{i}_FPD": MemoryPort(
                f"saxihp{i}_fpd_aclk",
                f"SAXIGP{i + 2}/HP{i}_DDR_LOW",
                f"PSU__USE__S_AXI_GP{i + 2}",
                f"PSU__SAXIGP{i + 2}__DATA_WIDTH",
            )
            for i in range(4)
        },
    ),
}


def ports_of(board: Board) -> Ports:
    """The ports that a board file names; JpHwError where its processor system has no such port."""
    system = SYSTEMS[board.processor.kind]
    chosen = []
    for key, name, known in (
        ("control_port", board.processor.control_port, system.control),
        ("memory_port", board.processor.memory_port, system.memory),
    ):
        if name not in known:
            raise JpHwError(
                f"board {board.name}: processor.{key} {name} is no port of "
                f"{system.instance}; choose one of {', '.join(known)}"
            )
        chosen.append(known[name])
    control, memory = chosen
    assert isinstance(control, ControlPort) and isinstance(memory, MemoryPort)
    return Ports(system, control, memory)


def settings_of(board: Board, clock_mhz: float) -> dict[str, str]:
    """All settings of the processor system: clocks, and exactly the two ports that are used."""
    ports = ports_of(board)
    system = ports.system
    used = {ports.control.setting, ports.memory.setting}
    every = [port.setting for port in system.control.values()]
    every += [port.setting for port in system.memory.values()]
    return {
        system.reference_setting: str(board.processor.reference_mhz),
        system.clock_setting: f"{clock_mhz:g}",
        **system.fixed,
        **{setting: str(int(setting in used)) for setting in every},
        ports.memory.width_setting: "64",
    }
