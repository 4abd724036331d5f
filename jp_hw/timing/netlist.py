"""The longest register-to-register path of a synthesized netlist, for 7-series FPGAs.

Delays of nets exist only after placement: with the cells' (`delays`), here a net
that leaves its slice takes `NET` and `FANOUT` more for each doubling of its readers, what a placer
reaches where it has room. So the figure ranks paths, and finds those that need a register; it does
not promise a clock. Place and route tells.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from jp_hw.errors import JpHwError
from jp_hw.timing import delays

NET = 0.5
"""Nanoseconds of a net with one reader."""
FANOUT = 0.15
"""Nanoseconds more for each doubling of a net's readers."""
LAYER = re.compile(r"u_layer_\d+")
IGNORED = frozenset({"GND", "VCC", "$scopeinfo"})
FAR = delays.FLIP_FLOPS | delays.BLOCKS | {"DSP48E1"}
"""Drivers whose nets come from outside, whatever reads them."""


class Pin(NamedTuple):
    """A bit of a port of a cell."""

    port: str
    number: int
    bit: int


class Source(NamedTuple):
    """An input of a combinational output: its net, the delay to the output, whether it is near.

    ``near``: the net stays inside a slice, or a chain of them.
    """

    bit: int
    delay: float
    near: bool


@dataclass(frozen=True)
class Step:
    """A net on a path, the kind of cell that drives it, and when it is valid in nanoseconds."""

    net: str
    cell: str
    arrival: float


@dataclass(frozen=True)
class Path:
    """From one register to the next: nanoseconds in all, cells of logic between, nets."""

    delay: float
    levels: int
    steps: tuple[Step, ...]
    end: str

    @property
    def mhz(self) -> float:
        """The clock that this path alone would allow."""
        return 1000.0 / self.delay

    def to_json(self) -> dict[str, object]:
        """Plain data, rounded to picoseconds."""
        steps = [asdict(step) | {"arrival": round(step.arrival, 3)} for step in self.steps]
        return {
            "ns": round(self.delay, 3),
            "mhz": round(self.mhz, 1),
            "levels": self.levels,
            "from": self.steps[0].net,
            "to": self.end,
            "steps": steps,
        }


def slowest_paths(netlist: Mapping[str, Any], top: str) -> dict[str, Path]:
    """The longest path into each layer of a flat netlist, by instance: see `Netlist.slowest`."""
    return Netlist(netlist["modules"][top]).slowest()


class Netlist:
    """A flat module of a Yosys netlist (``write_json``) as a graph of nets, bits by number.

    Only paths from a register to a register count: what comes in at a port has no time yet.
    """

    def __init__(self, module: Mapping[str, Any]) -> None:
        """Raise JpHwError on a cell whose delays are not known, and on a loop without register."""
        self._names = _names(module)
        self._drivers: dict[int, str] = {}
        self._starts: dict[int, float] = {}
        self._sources: dict[int, list[Source]] = defaultdict(list)
        self._ends: list[End] = []
        self._readers: dict[int, int] = defaultdict(int)
        for name, cell in module["cells"].items():
            if cell["type"] not in IGNORED:
                self._add(name, cell)
        self._arrivals = dict(self._starts)
        for bit in self._order():
            self._arrivals[bit] = self._arrival(bit)[0]

    def slowest(self) -> dict[str, Path]:
        """The longest path that ends in each layer ("u_layer_3"), and in the rest ("")."""
        worst: dict[str, tuple[float, End]] = {}
        for end in self._ends:
            if end.bit in self._arrivals:
                delay = self._arrivals[end.bit] + self._net(end.bit) + end.setup
                if delay > worst.get(end.layer, (0.0, end))[0]:
                    worst[end.layer] = delay, end
        return {layer: self._path(delay, end) for layer, (delay, end) in sorted(worst.items())}

    def _add(self, name: str, cell: Mapping[str, Any]) -> None:
        kind, parameters = cell["type"], cell["parameters"]
        inputs, outputs = _pins(cell, "input"), _pins(cell, "output")
        layer = LAYER.search(name)
        where = layer.group() if layer else ""
        target = f"{kind} {self._names.get(outputs[0].bit, '')}".strip() if outputs else kind
        for pin in outputs:
            self._drivers[pin.bit] = kind
            delay = delays.clock_to_output(kind, parameters, pin.port)
            if delay is not None:
                self._starts[pin.bit] = delay
        for pin in inputs:
            if pin.port in delays.CLOCKS:
                continue
            self._readers[pin.bit] += 1
            setup = delays.setup(kind, parameters, pin.port)
            if setup is not None:
                self._ends.append(End(pin.bit, setup, f"{target}, {pin.port}", where))
            for output in outputs:
                delay = delays.through(kind, pin[:2], output[:2])
                if delay is not None:
                    near = (kind, pin.port) in delays.NEAR
                    self._sources[output.bit].append(Source(pin.bit, delay, near))

    def _order(self) -> Iterator[int]:
        """Nets behind logic, each after all that it depends on."""
        graph = {bit: {source.bit for source in of} for bit, of in self._sources.items()}
        try:
            yield from (bit for bit in TopologicalSorter(graph).static_order() if bit in graph)
        except CycleError as error:
            loop = ", ".join(self._names.get(bit, str(bit)) for bit in error.args[1])
            raise JpHwError(f"the netlist has a loop without a register: {loop}") from error

    def _arrival(self, bit: int) -> tuple[float, int | None]:
        """When a net behind logic is valid, and which net before decides that.

        None is the clock itself: of a LUT RAM, the word that it wrote.
        """
        known = [source for source in self._sources[bit] if source.bit in self._arrivals]
        inputs = [(self._arrivals[s.bit] + self._net(s.bit, s.near), s.delay, s.bit) for s in known]
        if self._drivers[bit] in delays.LUTS:
            inputs.sort(reverse=True)
            inputs = [(at, lut, of) for (at, _, of), lut in zip(inputs, delays.LUT, strict=False)]
        ready: list[tuple[float, int | None]] = [(self._starts.get(bit, 0.0), None)]
        ready += [(at + delay, of) for at, delay, of in inputs]
        return max(ready, key=lambda found: found[0])

    def _net(self, bit: int, near: bool = False) -> float:
        """Nanoseconds of a net to a reader."""
        if near and self._drivers.get(bit) not in FAR:
            return 0.0
        return NET + FANOUT * math.log2(max(1, self._readers[bit]))

    def _path(self, delay: float, end: "End") -> Path:
        steps: list[Step] = []
        bit: int | None = end.bit
        while bit is not None:
            name, kind = self._names.get(bit, f"net {bit}"), self._drivers.get(bit, "constant")
            steps.append(Step(name, kind, self._arrivals[bit]))
            bit = self._arrival(bit)[1] if bit in self._sources else None
        steps.reverse()
        return Path(delay, len(steps) - 1, tuple(steps), end.name)


class End(NamedTuple):
    """A register's input: its net, its setup time in ns, what it is called, its layer."""

    bit: int
    setup: float
    name: str
    layer: str


def _pins(cell: Mapping[str, Any], direction: str) -> list[Pin]:
    """Pins of a cell in one direction that are nets, not constants."""
    return [
        Pin(port, index, bit)
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == direction
        for index, bit in enumerate(bits)
        if isinstance(bit, int)
    ]


def _names(module: Mapping[str, Any]) -> dict[int, str]:
    """The shortest name that the source gave to each bit."""
    names: dict[int, str] = {}
    for name, net in module["netnames"].items():
        if net["hide_name"]:
            continue
        for index, bit in enumerate(net["bits"]):
            full = f"{name}[{index}]" if len(net["bits"]) > 1 else name
            if isinstance(bit, int) and len(full) < len(names.get(bit, full + " ")):
                names[bit] = full
    return names
