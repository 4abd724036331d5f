"""Estimated longest paths of a synthesized netlist: `delays` of cells, `netlist` the graph."""

from jp_hw.timing.netlist import Netlist, Path, slowest_paths

__all__ = ["Netlist", "Path", "slowest_paths"]
