"""From the generated HLS C++ to RTL, by an HLS compiler on PATH, and what the compiler reports."""

from jp_hw.hls.compilers import COMPILERS, find
from jp_hw.hls.reports import HlsReport
from jp_hw.hls.run import HlsBuild, compile_hls, open_hls

__all__ = ["COMPILERS", "HlsBuild", "HlsReport", "compile_hls", "find", "open_hls"]
