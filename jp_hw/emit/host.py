"""What a host program needs: the register map as a C++ header and as documentation."""

from jp_hw.emit.hls import identifiers
from jp_hw.registers import MAGIC, VERSION, register_map
from jp_hw.schedule.design import Design
from jp_hw.templates_env import render


def host_files(design: Design) -> dict[str, str]:
    """Name -> text of everything under `host/` of a build folder."""
    registers = register_map(tuple(layer.name for layer in design.layers))
    constants = zip(identifiers(register.name for register in registers), registers, strict=True)
    values = {
        "design": design,
        "registers": registers,
        "constants": list(constants),
        "magic": MAGIC,
        "version": VERSION,
    }
    return {
        "host/jp_registers.hpp": render("host/jp_registers.hpp.j2", **values),
        "host/registers.md": render("host/registers.md.j2", **values),
    }
