"""A real sshd on the loopback address, with keys and a configuration of its own, for tests."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
)


@dataclass
class Sshd:
    """A running server; known_hosts holds its key, key is a client's that it accepts."""

    port: int
    key: Path
    known_hosts: Path
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def user(self) -> str:
        return pwd.getpwuid(os.getuid()).pw_name

    @property
    def host(self) -> str:
        return f"{self.user}@127.0.0.1:{self.port}"

    def options(self, folder: Path) -> list[str]:
        """Of `jp-hw deploy` and `jp-hw run`."""
        return [
            *("--key", str(self.key), "--known-hosts", str(self.known_hosts)),
            *("--folder", str(folder), "--python", sys.executable),
        ]


def keygen(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def sshd(
    folder: Path, environment: Mapping[str, str] | None = None, sftp: str = ""
) -> Iterator[Sshd]:
    """A server; environment: of its sessions; sftp: its file server, the system's unless given."""
    assert PROGRAM, "sshd is not installed: apt install openssh-server"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    host_key, key = keygen(folder / "host_key"), keygen(folder / "client_key")
    accepted = folder / "authorized_keys"
    shutil.copy(key.with_suffix(".pub"), accepted)
    port = free_port()
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    variables = " ".join(f'"{name}={value}"' for name, value in (environment or {}).items())
    server = sftp or next(path for path in SERVERS if Path(path).exists())
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nAuthorizedKeysFile {accepted}\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n"
        f"PidFile none\nPermitRootLogin yes\nSubsystem sftp {server}\n"
        + (f"SetEnv {variables}\n" if variables else "")
    )
    log = (folder / "sshd.log").open("wb")
    process = subprocess.Popen([PROGRAM, "-D", "-e", "-f", str(config)], stderr=log)
    try:
        _wait_for(port, process)
        yield Sshd(port, key, known, folder, process)
    finally:
        process.terminate()
        process.wait()
        log.close()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, "sshd ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("sshd does not listen")


class Cable:
    """A TCP relay in front of a port that can be cut: `after` bytes to the server, or never.

    silent: what is cut just stops, as a pulled cable does; otherwise the connection is closed.
    """

    def __init__(self, port: int, after: int, *, silent: bool = False) -> None:
        self._to, self._left, self._silent = port, after, silent
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.cut = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self._open += [near, far]
            threading.Thread(target=self._relay, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._relay, args=(far, near, False), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        while True:
            try:
                data = source.recv(8192)
                if not data:
                    break
                if counted:
                    self._left -= len(data)
                if self._left < 0:
                    self.cut.set()
                    if not self._silent:
                        break
                    continue  # swallowed
                if not self.cut.is_set():
                    sink.sendall(data)
            except OSError:
                break
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in [self._server, *self._open]:
            end.close()
