"""Runs the shipped driver with the real package `pynq`, a simulated board behind its Device.

Started by a Python that has pynq installed: `python real_pynq.py BUNDLE selftest`, where BUNDLE is
a simulated bundle. Its stand-in for `pynq` is left out; only its model of a board is used.
"""

import importlib.util
import os
import struct
import sys
from pathlib import Path
from typing import Any


def load_board(bundle: Path) -> Any:
    spec = importlib.util.spec_from_file_location("simulated_board", bundle / "pynq" / "board.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Board(bundle)


def main() -> int:
    bundle = Path(sys.argv[1]).resolve()
    board = load_board(bundle)
    os.environ["BOARD"] = board.name
    sys.path.append(str(bundle))  # behind the installed pynq
    from pynq.buffer import PynqBuffer
    from pynq.pl_server.device import Device
    from pynqmetadata.frontends import Metadata
    from pynqmetadata.views.runtime import RuntimeMetadataParser

    class SimulatedDevice(Device):
        _probe_priority_ = 1

        @classmethod
        def _probe_(cls) -> list[Any]:
            return []

        def __init__(self) -> None:
            super().__init__("simulated")
            self.capabilities = {"REGISTER_RW": True}
            self.buffers: dict[int, Any] = {}

        def get_bitfile_metadata(self, name: str, partial: bool = False) -> Any:
            metadata = Metadata(input=Path(name).with_suffix(".hwh"))
            parser = RuntimeMetadataParser(metadata)
            parser.clock_dict = {}  # the clocks' registers are the processor's, and there is none
            parser.bin_data, parser.xclbin_data, parser.dtbo_data = b"", None, None
            return parser

        def download(self, bitstream: Any, parser: Any = None) -> None:
            parser = parser or self.parser
            regions = [
                (ip["phys_addr"], ip["phys_addr"] + ip["addr_range"] - 1, name)
                for name, ip in parser.ip_dict.items()
                if "phys_addr" in ip
            ]
            board.load(regions, int(parser.ip_dict["dma"]["parameters"]["c_sg_length_width"]))
            super().post_download(bitstream, parser)

        def read_registers(self, address: int, length: int) -> bytes:
            return struct.pack("<I", board.read(address))

        def write_registers(self, address: int, data: bytes) -> None:
            board.write(address, struct.unpack("<I", bytes(data))[0])

        def allocate(self, shape: Any, dtype: Any, **_: Any) -> Any:
            import numpy as np

            address, memory = board.memory.allocate(int(np.prod(shape)) * np.dtype(dtype).itemsize)
            self.buffers[address] = memory
            return PynqBuffer(
                shape,
                dtype,
                device_address=address,
                bo=address,
                device=self,
                coherent=True,
                buffer=memory,
            )

        def flush(self, *_: Any) -> None:
            pass

        def invalidate(self, *_: Any) -> None:
            pass

    Device.active_device = SimulatedDevice()
    from jp_hw_board.__main__ import main as driver

    return driver(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
