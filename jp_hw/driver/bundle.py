"""The bundle: the files that came to the board together, and what they say of the accelerator."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = "jp_hw-bundle-1"
MANIFEST = "bundle.json"
DEVICE_TREE_NAME = Path("/proc/device-tree/chosen/pynq_board")


class BoardError(Exception):
    """One line that says what is wrong, and what to do about it."""


@dataclass(frozen=True)
class Bundle:
    """A folder with `bundle.json`, the overlay and the recorded vectors."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Bundle":
        """Read a bundle; BoardError where there is none, or it is of another format."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BoardError(f"{folder} is no bundle ({error}); deploy it anew") from error
        if manifest.get("format") != FORMAT:
            raise BoardError(f"{folder} is no bundle of format {FORMAT}; deploy it anew")
        return cls(folder, manifest)

    def check_files(self) -> None:
        """Compare every file with its hash; BoardError names the first that is missing or differs."""
        for name, digest in self.manifest["files"].items():
            path = self.folder / name
            if not path.is_file():
                raise BoardError(f"{name} is missing in {self.folder}; deploy the bundle anew")
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise BoardError(f"{name} in {self.folder} is damaged; deploy the bundle anew")

    def check_board(self) -> str:
        """The name that this board goes by; BoardError where the overlay is for another board."""
        name = board_name()
        wanted = self.manifest["board"]
        if name is None:
            raise BoardError(
                "this board does not say what it is (no variable BOARD, no pynq_board in the device "
                f"tree); if it is a {wanted}, set BOARD={self.manifest['board_names'][0]}"
            )
        if _plain(name) not in {_plain(known) for known in self.manifest["board_names"]}:
            raise BoardError(f"this board is a {name}, the overlay is for {wanted}")
        return name

    @property
    def bitstream(self) -> Path:
        """The overlay's bitstream; its .hwh is beside it."""
        return self.folder / "overlay.bit"


def board_name() -> str | None:
    """What PYNQ calls this board: its variable BOARD, or what the device tree says; None if neither."""
    name = os.environ.get("BOARD", "").strip()
    if not name and DEVICE_TREE_NAME.is_file():
        name = DEVICE_TREE_NAME.read_text(errors="replace").strip("\0 \n")
    return name if name and name != "Unknown" else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
