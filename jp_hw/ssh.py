"""A board over SSH: connections whose host keys are checked, commands, and files; by asyncssh."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jp_hw.errors import JpHwError

if TYPE_CHECKING:
    import asyncssh

DEFAULT_USER, DEFAULT_PORT = "xilinx", 22
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Host:
    """Where a board is, and how to get in.

    known_hosts: file of accepted host keys. key: private key file, None for the agent's and the usual
    ones. password: None where keys do. alive: seconds between signs of life; three that are missed
    end the connection.
    """

    name: str
    user: str = DEFAULT_USER
    port: int = DEFAULT_PORT
    known_hosts: Path = Path.home() / ".ssh" / "known_hosts"
    key: Path | None = None
    password: str | None = None
    alive: float = 5.0

    @classmethod
    def parse(cls, text: str, **options: Any) -> "Host":
        """[USER@]NAME[:PORT]; JpHwError where it is none."""
        user, at, rest = text.rpartition("@")
        name, colon, port = rest.partition(":")
        if not name or (at and not user) or (colon and not port.isdigit()):
            raise JpHwError(f"--host {text}: give NAME, USER@NAME or USER@NAME:PORT")
        return cls(name, user or DEFAULT_USER, int(port or DEFAULT_PORT), **options)

    @property
    def shown(self) -> str:
        """As people write it."""
        return f"{self.user}@{self.name}" + (f":{self.port}" if self.port != DEFAULT_PORT else "")


class Board:
    """An open connection."""

    def __init__(self, host: Host, connection: "asyncssh.SSHClientConnection") -> None:
        self.host, self._connection = host, connection

    async def command(self, line: str, *, timeout: float = 60.0) -> tuple[int, str, str]:
        """Run a line in the board's login shell: exit status, standard output, standard error."""
        import asyncssh

        try:
            done = await self._connection.run(f"bash -lc {shlex.quote(line)}", timeout=timeout)
        except asyncssh.TimeoutError as error:
            raise JpHwError(f"{self.host.shown} did not answer within {timeout:.0f} s") from error
        status = 255 if done.exit_status is None else done.exit_status
        if done.exit_status is None and done.exit_signal is None:
            raise self.lost()
        return status, str(done.stdout), str(done.stderr)

    async def checked(self, line: str, what: str, *, timeout: float = 60.0) -> str:
        """The output of a line that has to succeed; what: what it does, for the error."""
        status, output, errors = await self.command(line, timeout=timeout)
        if status != 0:
            reason = (errors.strip().splitlines() or [f"exit status {status}"])[-1]
            raise JpHwError(f"{what} on {self.host.shown} failed: {reason}")
        return output

    async def sftp(self) -> "asyncssh.SFTPClient":
        """A file transfer session."""
        return await self._connection.start_sftp_client()

    def lost(self) -> JpHwError:
        """The error of a connection that broke."""
        return JpHwError(f"the connection to {self.host.shown} was lost")


def on_board(host: Host, work: Callable[[Board], Awaitable[Answer]]) -> Answer:
    """Connect, do the work, and close; all that can go wrong on the way is a JpHwError of one line."""
    return asyncio.run(_on_board(host, work))


async def _on_board(host: Host, work: Callable[[Board], Awaitable[Answer]]) -> Answer:
    import asyncssh

    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await _connect(host))
        try:
            return await work(Board(host, connection))
        except (asyncssh.ConnectionLost, asyncssh.DisconnectError, ConnectionError) as error:
            raise JpHwError(f"the connection to {host.shown} was lost") from error
        except asyncssh.ChannelOpenError as error:
            raise JpHwError(f"{host.shown} opens no session: {error}") from error


async def _connect(host: Host) -> Any:
    import asyncssh

    options: dict[str, Any] = {
        "port": host.port,
        "username": host.user,
        "known_hosts": str(host.known_hosts) if host.known_hosts.is_file() else ([], [], []),
        "keepalive_interval": host.alive,
        "keepalive_count_max": 3,
        "connect_timeout": 20,
        "config": None,
    }
    if host.key is not None:
        options["client_keys"] = [str(host.key)]
    if host.password is not None:
        options["password"] = host.password
    try:
        return await asyncssh.connect(host.name, **options)
    except asyncssh.HostKeyNotVerifiable as error:
        raise JpHwError(await _unknown_key(host)) from error
    except asyncssh.PermissionDenied as error:
        raise JpHwError(
            f"{host.shown} refuses the login: give --key FILE or --ask-password, or run ssh-copy-id"
        ) from error
    except (asyncssh.KeyImportError, FileNotFoundError) as error:
        raise JpHwError(f"the key {host.key} cannot be used: {error}") from error
    except (TimeoutError, OSError, asyncssh.Error) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        raise JpHwError(f"cannot reach {host.name}, port {host.port}: {reason}") from error


async def _unknown_key(host: Host) -> str:
    """What to do about a host key that is not known, or not the one that is known."""
    import asyncssh

    try:
        key = await asyncssh.get_server_host_key(host.name, host.port, config=None)
        print_of_key = key.get_fingerprint() if key is not None else "unknown"
    except (OSError, asyncssh.Error):
        print_of_key = "unknown"
    return (
        f"the host key of {host.name}, {print_of_key}, is not the one in {host.known_hosts}; compare it "
        f"with the board's own, then accept it: ssh-keyscan -p {host.port} {host.name} >> "
        f"{host.known_hosts}"
    )
