"""The end of the road: the only module that writes build folders and starts processes."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jp_hw.errors import JpHwError

MANIFEST = "build.json"
FORMAT = "jp_hw-build-1"


@dataclass(frozen=True)
class Plan:
    """Files of a build folder by relative name, text or bytes, and the manifest that describes it."""

    files: Mapping[str, str | bytes]
    manifest: Mapping[str, object]

    def write(self, folder: Path, *, force: bool = False) -> Path:
        """Write everything; the folder appears whole or not at all.

        An existing folder is an error unless `force`, and even then only a build folder of ours is
        replaced.
        """
        folder = Path(folder).absolute()
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            if not force:
                raise JpHwError(f"{folder} exists; give another folder with -o, or --force")
            if not (folder / MANIFEST).is_file():
                raise JpHwError(
                    f"{folder} is not a jp_hw build folder; --force will not replace it"
                )
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        except OSError as error:
            raise JpHwError(f"cannot write in {folder.parent}: {error.strerror}") from error
        try:
            partial.chmod(0o755)
            for name, content in self.files.items():
                write_inside(partial, name, content)
            write_inside(partial, MANIFEST, json.dumps(self.manifest, indent=2) + "\n")
            _swap(partial, folder)
        except OSError as error:
            raise JpHwError(f"cannot write {folder}: {error.strerror}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return folder


def _swap(new: Path, folder: Path) -> None:
    """Put a finished folder in its place; the old one stays whole until then."""
    old = new.with_name(new.name + "-old")
    if folder.exists():
        os.replace(folder, old)
    try:
        os.replace(new, folder)
    except OSError:
        if old.exists():
            os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_inside(folder: Path, name: str, content: str | bytes) -> Path:
    """Write one file below a folder, whole or not at all; names that leave the folder are refused."""
    root = folder.resolve()
    target = (root / name).resolve()
    if not target.is_relative_to(root):
        raise JpHwError(f"{name} would be written outside {folder}")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(partial, target)
    return target


def run_tool(
    command: Sequence[str | Path],
    folder: Path,
    *,
    log: str,
    timeout: float = 1800.0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program in a folder, its output in the file `log` there; returns that output.

    A failure, a timeout or a missing program is a JpHwError that names the log. The program and all
    it started are ended when the time is up.
    """
    path = folder / log
    path.parent.mkdir(parents=True, exist_ok=True)
    name = Path(command[0]).name
    try:
        with (
            path.open("wb") as output,
            subprocess.Popen(
                [str(word) for word in command],
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            ) as process,
        ):
            try:
                status = process.wait(timeout)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise JpHwError(f"{name} took more than {timeout:.0f} s; see {path}") from error
                raise
    except FileNotFoundError as error:
        raise JpHwError(f"{name} is not installed or not on PATH; `jp-hw doctor` helps") from error
    except OSError as error:
        raise JpHwError(f"cannot start {name}: {error.strerror}; `jp-hw doctor` helps") from error
    text = path.read_text(errors="replace")
    if status != 0:
        lines = [line for line in text.splitlines() if "rror" in line] or text.splitlines()[-1:]
        reason = f": {lines[0].strip()[:200]}" if lines else ""
        raise JpHwError(f"{name} failed with exit status {status}{reason}; see {path}")
    return text
