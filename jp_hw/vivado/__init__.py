"""Bitstreams by AMD Vivado: the script, its run, and what its reports say."""

from jp_hw.vivado.reports import Reports, read_reports
from jp_hw.vivado.run import build_overlay
from jp_hw.vivado.script import vivado_files

__all__ = ["Reports", "build_overlay", "read_reports", "vivado_files"]
