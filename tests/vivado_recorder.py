"""Runs generated Tcl in a real interpreter, in which Vivado's commands check and record what they get.

Unknown commands, options, settings, pins and values fail; so do connections between what cannot be
connected, and a design that is left incomplete. `Recorder.cells`, `.links` and `.nets` are the
block design.
"""

import re
import tkinter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from vivado_blocks import BLOCKS, Block, Interface, Pin, module_reference
from vivado_commands import BOARD_PARTS, COMMANDS, PARTS, Runs


@dataclass
class Cell:
    """An instance in the block design."""

    name: str
    kind: str
    block: Block
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def pins(self) -> dict[str, Pin]:
        return {pin.name: pin for pin in self.block.shape(self.settings)[0]}

    @property
    def interfaces(self) -> dict[str, Interface]:
        return {pin.name: pin for pin in self.block.shape(self.settings)[1]}


class Recorder(Runs):
    """One interpreter and all that its script made; slack: what timing will be, in ns."""

    def __init__(self, slack: float = 0.5, board_files: bool = True) -> None:
        self.slack, self.board_files = slack, board_files
        self.cells: dict[str, Cell] = {}
        self.links: list[tuple[str, str]] = []
        self.nets: list[tuple[str, ...]] = []
        self.segments: dict[tuple[str, str], tuple[int, int] | None] = {}
        self.external: set[str] = set()
        self.files: list[str] = []
        self.printed: list[str] = []
        self.properties: dict[tuple[str, str], str] = {}
        self.runs: dict[str, str] = {}
        self.design, self.part, self.project = "", "", Path()
        self.open, self.validated, self.exited = "", False, False
        self.error: Exception | None = None
        self.tcl = tkinter.Tcl()
        for name in COMMANDS:
            self._command(name)
        self.tcl.createcommand("puts", lambda *words: self.printed.append(words[-1]))
        self.tcl.createcommand("flush", lambda *_: "")
        self.tcl.createcommand("recorder_exit", self._exit)
        self.tcl.eval("proc exit {{status 0}} {recorder_exit $status; return -code error EXIT}")

    def source(self, script: Path) -> None:
        """Run a script; AssertionError with the script's line where it is wrong."""
        try:
            self.tcl.call("source", str(script))
        except tkinter.TclError as error:
            if self.exited:
                return
            where = self.tcl.eval("set ::errorInfo")
            raise AssertionError(f"{self.error or error}\n{where}") from self.error

    def _exit(self, status: str) -> str:
        assert status == "0", f"the script ended with status {status}"
        self.exited = True
        return ""

    def _command(self, name: str) -> None:
        flags, options, least, most = COMMANDS[name]

        def run(*words: str) -> str:
            try:
                given: dict[str, str] = {}
                positional: list[str] = []
                rest = list(words)
                while rest:
                    word = rest.pop(0)
                    if word in options.split():
                        assert rest, f"{name} {word} needs a value"
                        given[word] = rest.pop(0)
                    elif word in flags.split():
                        given[word] = ""
                    else:
                        assert not re.match(r"-[a-z]", word), f"{name} knows no option {word}"
                        positional.append(word)
                assert least <= len(positional) <= most, f"{name} got {len(positional)} arguments"
                return str(getattr(self, name)(given, positional) or "")
            except Exception as error:
                self.error = error
                raise

        self.tcl.createcommand(name, run)

    def _list(self, text: str) -> tuple[str, ...]:
        return tuple(self.tcl.splitlist(text))

    # ---- project

    def create_project(self, given: dict[str, str], words: Sequence[str]) -> None:
        assert given["-part"] in PARTS, f"no part {given['-part']}"
        self.part, self.project = given["-part"], Path(words[1]) / words[0]

    def get_board_parts(self, given: dict[str, str], words: Sequence[str]) -> str:
        pattern = re.escape(words[0]).replace(r"\*", ".*")
        return " ".join(p for p in BOARD_PARTS if re.fullmatch(pattern, p) and self.board_files)

    def current_project(self, *_: Any) -> str:
        return "project"

    def current_fileset(self, *_: Any) -> str:
        return "sources_1"

    def set_property(self, given: dict[str, str], words: Sequence[str]) -> None:
        pairs = self._list(given["-dict"]) if "-dict" in given else words[:2]
        assert len(pairs) % 2 == 0 and len(words) == (1 if "-dict" in given else 3)
        target = words[-1]
        for name, value in zip(pairs[::2], pairs[1::2], strict=True):
            self._set(target, name, value)

    def _set(self, target: str, name: str, value: str) -> None:
        legal = {
            "board_part": ("project", BOARD_PARTS.__contains__),
            "target_language": ("project", {"Verilog", "VHDL"}.__contains__),
            "synth_checkpoint_mode": (
                f"{self.design}.bd",
                {"None", "Singular", "Hierarchical"}.__contains__,
            ),
            "top": ("sources_1", {f"{self.design}_wrapper"}.__contains__),
            "STEPS.SYNTH_DESIGN.TCL.PRE": ("synth_1", lambda path: Path(path).is_file()),
        }
        if name.startswith("CONFIG."):
            cell, setting = self.cells[target], name.removeprefix("CONFIG.")
            pattern = cell.block.legal.get(setting)
            assert pattern is not None, f"{cell.kind} has no setting {setting}"
            assert re.fullmatch(pattern, value), f"{setting} cannot be {value}"
            cell.settings[setting] = value
            return
        assert name in legal, f"no property {name}"
        of, allowed = legal[name]
        assert target == of and allowed(value), f"{name} of {target} cannot be {value}"
        if name == "board_part":
            assert BOARD_PARTS[value] == self.part, f"{value} has another part than {self.part}"
        self.properties[target, name] = value

    def get_property(self, _: Any, words: Sequence[str]) -> str:
        name, target = words
        values = {"STATUS": self.runs.get(target, "Not started"), "PROGRESS": "100%"}
        values |= {"STATS.WNS": f"{self.slack:.3f}", "STATS.WHS": "0.050"}
        assert target in ("synth_1", "impl_1") and name in values, f"no property {name} of {target}"
        return values[name]

    def add_files(self, given: dict[str, str], words: Sequence[str]) -> None:
        assert given.get("-fileset", "sources_1") in ("sources_1", "constrs_1")
        files = self._list(words[0])
        assert files and all(Path(file).is_file() for file in files), (
            f"files that are not there: {files}"
        )
        self.files += files

    def get_files(self, _: Any, words: Sequence[str]) -> str:
        assert words[0] == f"{self.design}.bd", f"no file {words[0]}"
        return words[0]

    def update_compile_order(self, given: dict[str, str], _: Any) -> None:
        assert given.get("-fileset", "sources_1") == "sources_1"

    # ---- block design

    def create_bd_design(self, _: Any, words: Sequence[str]) -> None:
        assert self.part and not self.design
        self.design = words[0]

    def create_bd_cell(self, given: dict[str, str], words: Sequence[str]) -> None:
        assert self.design, "no block design is open"
        assert words[0] not in self.cells, f"a second cell {words[0]}"
        if given["-type"] == "module":
            name = given["-reference"]
            sources = [
                Path(f) for f in self.files if Path(f).suffix == ".v" and Path(f).stem == name
            ]
            assert sources, f"module references need Verilog; no file {name}.v was added"
            block, kind = module_reference(sources[0].read_text(), name), f"module {name}"
        else:
            assert given["-type"] == "ip" and given["-vlnv"] in BLOCKS, f"no IP {given['-vlnv']}"
            block, kind = BLOCKS[given["-vlnv"]], given["-vlnv"].rpartition(":")[2]
        self.cells[words[0]] = Cell(words[0], kind, block, dict(block.defaults))

    def apply_bd_automation(self, given: dict[str, str], words: Sequence[str]) -> None:
        cell = self.cells[words[0]]
        assert given["-rule"] == f"xilinx.com:bd_rule:{cell.kind}", f"no rule {given['-rule']}"
        config = self._list(given["-config"])
        values = dict(zip(config[::2], config[1::2], strict=True))
        has_board = ("project", "board_part") in self.properties
        assert values.pop("apply_board_preset") == str(int(has_board)), "a preset without a board"
        if cell.kind == "processing_system7":
            self.external |= {
                f"{cell.name}/{n.strip()}" for n in values.pop("make_external").split(",")
            }
            assert values.pop("Master") == values.pop("Slave") == "Disable"
        assert not values, f"unknown configuration {values}"

    def get_bd_cells(self, _: Any, words: Sequence[str]) -> str:
        assert words[0] in self.cells, f"no cell {words[0]}"
        return words[0]

    def _pin(self, path: str) -> Pin:
        cell, _, name = path.partition("/")
        assert cell in self.cells and name in self.cells[cell].pins, f"no pin {path}"
        return self.cells[cell].pins[name]

    def _interface(self, path: str) -> Interface:
        cell, _, name = path.partition("/")
        assert cell in self.cells and name in self.cells[cell].interfaces, f"no interface {path}"
        return self.cells[cell].interfaces[name]

    def get_bd_pins(self, _: Any, words: Sequence[str]) -> str:
        self._pin(words[0])
        return words[0]

    def get_bd_intf_pins(self, _: Any, words: Sequence[str]) -> str:
        self._interface(words[0])
        return words[0]

    def get_bd_addr_spaces(self, _: Any, words: Sequence[str]) -> str:
        cell, _, name = words[0].partition("/")
        assert name in self.cells[cell].block.spaces, f"no address space {words[0]}"
        return words[0]

    def get_bd_addr_segs(self, _: Any, words: Sequence[str]) -> str:
        cell, _, name = words[0].partition("/")
        assert name in self.cells[cell].block.segments(self.cells[cell].settings), (
            f"no segment {words[0]}"
        )
        return words[0]

    def connect_bd_intf_net(self, _: Any, words: Sequence[str]) -> None:
        first, second = map(self._interface, words)
        for path in words:
            assert not any(path in link for link in self.links), f"{path} is connected twice"
        assert first.bus == second.bus, f"{words[0]} is {first.bus}, {words[1]} is {second.bus}"
        assert {first.mode, second.mode} == {"Master", "Slave"}, f"{words} are both {first.mode}"
        assert first.bytes == second.bytes, f"{words}: {first.bytes} and {second.bytes} bytes wide"
        self.links.append((words[0], words[1]) if first.mode == "Master" else (words[1], words[0]))

    def connect_bd_net(self, _: Any, words: Sequence[str]) -> None:
        pins = [self._pin(path) for path in words]
        drivers = [pin for pin in pins if pin.direction == "O"]
        assert len(drivers) == 1, f"{len(drivers)} pins drive {words}"
        for path, pin in zip(words, pins, strict=True):
            assert not any(path in net for net in self.nets), f"{path} is connected twice"
            assert pin.kind == drivers[0].kind, (
                f"{path} is {pin.kind}, its driver {drivers[0].kind}"
            )
        self.nets.append(tuple(words))

    def assign_bd_address(self, given: dict[str, str], words: Sequence[str]) -> None:
        place = None
        if "-offset" in given:
            place = int(given["-offset"], 16), int(given["-range"], 16)
            assert place[1] >= 4096 and place[1] & (place[1] - 1) == 0 and place[0] % place[1] == 0
        self.segments[given["-target_address_space"], words[0]] = place

    def net_of(self, pin: str) -> tuple[str, ...]:
        return next((net for net in self.nets if pin in net), ())

    def validate_bd_design(self, *_: Any) -> None:
        linked = {path for link in self.links for path in link} | self.external
        for cell in self.cells.values():
            for name, pin in cell.pins.items():
                path = f"{cell.name}/{name}"
                assert not pin.required or self.net_of(path), f"{path} is not connected"
            for name, bus in cell.interfaces.items():
                assert not bus.required or f"{cell.name}/{name}" in linked, (
                    f"{cell.name}/{name} is open"
                )
        for master, slave in self.links:
            clocks = {
                self.net_of(f"{p.partition('/')[0]}/{self._interface(p).clock}")
                for p in (master, slave)
            }
            assert len(clocks) == 1, f"{master} and {slave} run on different clocks"
        self._validate_addresses()
        self.validated = True

    def _validate_addresses(self) -> None:
        for cell in self.cells.values():
            for space in cell.block.spaces:
                assert any(s == f"{cell.name}/{space}" for s, _ in self.segments), (
                    f"{cell.name}/{space} is empty"
                )
            for segment in cell.block.segments(cell.settings):
                path = f"{cell.name}/{segment}"
                assert any(s == path for _, s in self.segments), f"{path} has no address"
        fixed = sorted(place for place in self.segments.values() if place)
        for (first, size), (second, _) in pairwise(fixed):
            assert first + size <= second, f"address ranges at {first:#x} and {second:#x} overlap"
        ranges = {"M_AXI_GP0": (0x4000_0000, 0x7FFF_FFFF), "M_AXI_GP1": (0x8000_0000, 0xBFFF_FFFF),
                  "M_AXI_HPM0_FPD": (0xA000_0000, 0xAFFF_FFFF),
                  "M_AXI_HPM1_FPD": (0xB000_0000, 0xBFFF_FFFF),
                  "M_AXI_HPM0_LPD": (0x8000_0000, 0x9FFF_FFFF)}  # fmt: skip
        used = next(name for name in ranges if any(m == f"ps/{name}" for m, _ in self.links))
        for first, size in fixed:
            low, high = ranges[used]
            assert low <= first and first + size - 1 <= high, f"{first:#x} is not behind {used}"

    def save_bd_design(self, *_: Any) -> None:
        assert self.validated, "an unchecked design is saved"
