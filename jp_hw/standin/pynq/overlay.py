"""Overlays: a bitstream, and beside it the .hwh that tells which blocks are at which addresses."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from .mmio import MMIO
from .state import board


class DefaultIP:
    """A block without a driver of its own."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description
        self.mmio = MMIO(description["phys_addr"], description["addr_range"])

    def read(self, offset: int = 0) -> int:
        """The register at an offset."""
        return self.mmio.read(offset)

    def write(self, offset: int, value: int) -> None:
        """Write the register at an offset."""
        self.mmio.write(offset, value)


class Overlay:
    """A loaded design; its blocks are attributes by their names."""

    def __init__(self, bitfile_name: str, download: bool = True, **_: Any) -> None:
        path = Path(bitfile_name)
        if not path.is_file():
            raise FileNotFoundError(f"Bitstream file {bitfile_name} does not exist.")
        metadata = path.with_suffix(".hwh")
        if not metadata.is_file():
            raise FileNotFoundError(f"Could not find HWH file {metadata}")
        self.bitfile_name = str(path)
        self.ip_dict = _blocks(metadata)
        self._drivers: dict[str, Any] = {}
        if download:
            self.download()

    def download(self) -> None:
        """Load the logic."""
        from .lib.dma import DMA

        regions = [
            (block["phys_addr"], block["phys_addr"] + block["addr_range"] - 1, name)
            for name, block in self.ip_dict.items()
        ]
        dma = self.ip_dict["dma"]
        board().load(regions, int(dma["parameters"]["c_sg_length_width"]))
        for name, block in self.ip_dict.items():
            self._drivers[name] = DMA(block) if name == "dma" else DefaultIP(block)

    def is_loaded(self) -> bool:
        """Whether it was downloaded."""
        return bool(self._drivers)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if not self._drivers:
            raise RuntimeError("Overlay not currently loaded")
        try:
            return self._drivers[name]
        except KeyError:
            raise AttributeError(f"Could not find IP or hierarchy {name} in overlay") from None


def _blocks(metadata: Path) -> dict[str, dict[str, Any]]:
    """Blocks with registers, as the .hwh lists them."""
    tree = ElementTree.parse(metadata)  # noqa: S314 - a file of our own
    found: dict[str, dict[str, Any]] = {}
    for memory in tree.iter("MEMRANGE"):
        if memory.get("MEMTYPE") != "REGISTER":
            continue
        first, last = (int(memory.get(key, "0"), 16) for key in ("BASEVALUE", "HIGHVALUE"))
        name = memory.get("INSTANCE", "")
        found[name] = {"phys_addr": first, "addr_range": last - first + 1, "parameters": {}}
    for module in tree.iter("MODULE"):
        name = module.get("INSTANCE", "")
        if name in found:
            found[name]["parameters"] = {
                p.get("NAME", "").lower(): p.get("VALUE", "") for p in module.iter("PARAMETER")
            }
    return found
