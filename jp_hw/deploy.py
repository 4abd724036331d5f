"""Bundles onto boards: copied, checked and tested beside the old one, then switched to in one step.

On the board, FOLDER/bundles/ID holds a bundle, FOLDER/current is a link to the one in use. ID is
the start of the hash of the bundle's manifest, which holds the hashes of all its files. A bundle
that is being copied lies in FOLDER/bundles/.incoming-*, and is removed when anything fails.
"""

import hashlib
import json
import secrets
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jp_hw.errors import JpHwError
from jp_hw.ssh import Board, Host, on_board

MANIFEST = "bundle.json"
INCOMING = ".incoming-"
RESERVE = 256 * 1024
"""Bytes that stay free on the board."""
Tell = Callable[[str, int, int], None]
"""Called with what is going on, and how many bytes of how many are copied."""


@dataclass(frozen=True)
class Remote:
    """How things are done on the board: folder of all bundles, Python to run, seconds for a batch."""

    folder: str = "jp_hw"
    python: str = "python3"
    timeout: float = 30.0

    def __post_init__(self) -> None:
        if not self.folder or any(c in self.folder for c in "\n\0~"):
            raise JpHwError(f"--folder {self.folder!r} is no folder's name")


@dataclass(frozen=True)
class Deployed:
    """What is on the board now; report: the self-test's, as the driver printed it."""

    host: str
    bundle: str
    previous: str | None
    report: dict[str, Any]

    def to_json(self) -> dict[str, object]:
        """Plain data under stable keys."""
        return {
            "host": self.host,
            "bundle": self.bundle,
            "previous": self.previous,
            "self_test": self.report,
        }


def deploy(bundle: Path, host: Host, remote: Remote, tell: Tell = lambda *_: None) -> Deployed:
    """Copy a bundle to a board, test it there, and make it the current one.

    Raises JpHwError of one line wherever that fails; the bundle that was current before still is.
    """
    files = read_bundle(bundle)
    return on_board(host, lambda board: _deploy(board, remote, files, tell))


def read_bundle(bundle: Path) -> dict[str, bytes]:
    """Name -> content of a bundle on this machine, every file as its manifest says."""
    try:
        text = (bundle / MANIFEST).read_bytes()
        files = {MANIFEST: text}
        for name, digest in json.loads(text)["files"].items():
            files[name] = (bundle / name).read_bytes()
            if hashlib.sha256(files[name]).hexdigest() != digest:
                raise JpHwError(f"{bundle / name} was changed; make the bundle anew: jp-hw build")
    except (OSError, ValueError, KeyError) as error:
        raise JpHwError(f"{bundle} is no whole bundle ({error}); make one: jp-hw build") from error
    return files


async def _deploy(board: Board, remote: Remote, files: dict[str, bytes], tell: Tell) -> Deployed:
    name = hashlib.sha256(files[MANIFEST]).hexdigest()[:16]
    bundles = str(PurePosixPath(remote.folder) / "bundles")
    incoming = f"{bundles}/{INCOMING}{secrets.token_hex(4)}"
    quoted = shlex.quote(bundles)
    await board.checked(
        f"mkdir -p {quoted} && rm -rf {quoted}/{INCOMING}* && mkdir {shlex.quote(incoming)}",
        "making the folder",
    )
    try:
        await _copy(board, incoming, files, tell)
        tell("checking the copy", 0, 0)
        await _verify(board, incoming, files)
        tell("testing on the board", 0, 0)
        report = await self_test(board, remote, incoming)
        tell("switching over", 0, 0)
        previous = await _switch(board, remote, incoming, name)
    except BaseException:
        await _remove(board, incoming)
        raise
    return Deployed(board.host.shown, name, previous, report)


async def _copy(board: Board, folder: str, files: dict[str, bytes], tell: Tell) -> None:
    import asyncssh

    total, done, current = sum(map(len, files.values())), 0, MANIFEST
    sftp = await board.sftp()
    try:
        await _check_room(board, sftp, folder, total)
        for current, content in files.items():
            path = f"{folder}/{current}"
            await sftp.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
            async with sftp.open(path, "wb") as file:
                for start in range(0, len(content), 1 << 15):
                    part = content[start : start + (1 << 15)]
                    await file.write(part)
                    done += len(part)
                    tell(f"copying {current}", done, total)
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
        raise JpHwError(
            f"the connection to {board.host.shown} was lost while {current} was copied, at {done:,} of "
            f"{total:,} bytes; what was there before is in place"
        ) from error
    except asyncssh.SFTPError as error:
        reason = error.reason if error.reason not in ("", "Failure") else "the disk may be full"
        raise JpHwError(
            f"{current} cannot be written to {board.host.shown}:{folder}: {reason}; what was there "
            "before is in place"
        ) from error


async def _check_room(board: Board, sftp: Any, folder: str, needed: int) -> None:
    import asyncssh

    try:
        room = await sftp.statvfs(folder)
    except asyncssh.SFTPOpUnsupported:
        return
    free = room.frsize * room.bavail
    if free < needed + RESERVE:
        raise JpHwError(
            f"the disk of {board.host.shown} is full: {free:,} bytes are free, the bundle needs "
            f"{needed:,}"
        )


async def _verify(board: Board, folder: str, files: dict[str, bytes]) -> None:
    """Compare the hashes of the copied files, as the board computes them."""
    names = " ".join(shlex.quote(name) for name in files)
    output = await board.checked(
        f"cd {shlex.quote(folder)} && sha256sum -- {names}", "checking the copy", timeout=300.0
    )
    found = {line[66:]: line[:64] for line in output.splitlines()}
    for name, content in files.items():
        if found.get(name) != hashlib.sha256(content).hexdigest():
            raise JpHwError(
                f"{name} did not arrive on {board.host.shown} as it was sent (wrong digest); deploy "
                "again, and check the board's SD card"
            )


async def self_test(board: Board, remote: Remote, folder: str) -> dict[str, Any]:
    """Run a bundle's self-test on the board; JpHwError with the driver's line where it fails."""
    command = f"selftest --timeout {remote.timeout:g}"
    status, report, line = await driver(board, remote, folder, command)
    if status == 0:
        return report
    if report:
        raise JpHwError(
            f"the self-test on {board.host.shown} failed: {report['mismatches']} of "
            f"{report['logits']} logits differ from the recorded ones"
            + ("" if report["counters_exact"] else ", and counters do")
        )
    raise JpHwError(f"the self-test on {board.host.shown} failed: {line}")


async def driver(
    board: Board, remote: Remote, folder: str, command: str
) -> tuple[int, dict[str, Any], str]:
    """Run the driver of a bundle: exit status, its JSON, and its line of error.

    PYNQ needs root: another user's command goes through sudo, which must not ask for a password.
    """
    kept = " ".join(f'{v}="${v}"' for v in ("BOARD", "PATH", "XILINX_XRT", "LD_LIBRARY_PATH"))
    run = f"{shlex.quote(remote.python)} -m jp_hw_board {command}"
    line = (
        f"cd {shlex.quote(folder)} && export PYTHONDONTWRITEBYTECODE=1 && "
        f'if [ "$(id -u)" = 0 ] || [ -e simulated_board.json ]; then {run}; '
        f"else sudo -n env PYTHONDONTWRITEBYTECODE=1 {kept} {run}; fi"
    )
    status, output, errors = await board.command(line, timeout=20 * remote.timeout + 120)
    lines = [text for text in errors.strip().splitlines() if text.strip()]
    last = lines[-1].removeprefix("error: ") if lines else f"exit status {status}"
    if "password is required" in last:
        last = f"sudo asks for a password; log in as root: --host root@{board.host.name}"
    try:
        report = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        report = {}
    return status if report or status else 1, report, last


async def _switch(board: Board, remote: Remote, incoming: str, name: str) -> str | None:
    """Name the bundle by its hash, and point `current` at it; the bundle that was current stays."""
    folder = shlex.quote(remote.folder)
    link = f"link=$(readlink {folder}/current || true)"
    output = await board.checked(
        f'{link}; echo "${{link##*/}}"; rm -rf {folder}/bundles/{name}.old; '
        f"if [ -e {folder}/bundles/{name} ]; then "
        f"mv {folder}/bundles/{name} {folder}/bundles/{name}.old; "
        f"fi && mv {shlex.quote(incoming)} {folder}/bundles/{name} && "
        f"ln -s bundles/{name} {folder}/current.new && mv -T {folder}/current.new {folder}/current && "
        f"rm -rf {folder}/bundles/{name}.old",
        "switching to the new bundle",
    )
    previous = output.strip() or None
    keep = {name, previous}
    listed = await board.checked(f"ls -1 {folder}/bundles", "listing bundles")
    for other in listed.split():
        if other not in keep:
            await board.checked(
                f"rm -rf {folder}/bundles/{shlex.quote(other)}", "removing an old bundle"
            )
    return previous


async def _remove(board: Board, folder: str) -> None:
    """Remove what was copied, if the board can still be reached."""
    import asyncssh

    try:
        await board.command(f"rm -rf {shlex.quote(folder)}", timeout=20.0)
    except (JpHwError, OSError, asyncssh.Error):
        return
