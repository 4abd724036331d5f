"""The wheel carries everything that the package reads at run time."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_wheel_is_complete(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("jp_hw-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, target in (
        ("templates", "jp_hw/templates"),
        ("boards", "jp_hw/boards"),
        ("jp_hw", "jp_hw"),
    ):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "cache" not in str(path):
                assert f"{target}/{path.relative_to(ROOT / folder)}" in names
