"""Running other programs: their output, and what the user sees when they fail or hang."""

import os
import signal
import time
from pathlib import Path

import pytest

from jp_hw.errors import JpHwError
from jp_hw.plan import run_tool


def test_a_tool_s_output_is_returned_and_logged(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo hello; echo $WHO >&2; pwd; cat"]
    output = run_tool(command, tmp_path, log="logs/x.log", environment={"WHO": "me"})
    assert output.splitlines() == ["hello", "me", str(tmp_path.resolve())]
    assert (tmp_path / "logs" / "x.log").read_text() == output


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    with pytest.raises(JpHwError, match="vivado_x is not installed or not on PATH; `jp-hw doctor`"):
        run_tool(["/opt/none/vivado_x"], tmp_path, log="x.log")
    tool = tmp_path / "tool"
    tool.write_text("no program")
    with pytest.raises(JpHwError, match="cannot start tool: Permission denied"):
        run_tool([tool], tmp_path, log="x.log")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo fine; echo 'top.sv:3: Error: no such'; echo last; exit 3",
            "status 3: top.sv:3: Error",
        ),
        ("echo fine; echo last; exit 4", "status 4: last; see .*x.log"),
        ("exit 5", "status 5; see .*x.log"),
        ("kill -9 $$", "status -9; see"),
    ],
)
def test_a_failing_tool_is_told_with_its_first_error(
    tmp_path: Path, script: str, message: str
) -> None:
    with pytest.raises(JpHwError, match=f"sh failed with exit {message}") as caught:
        run_tool(["sh", "-c", script], tmp_path, log="x.log")
    assert "\n" not in str(caught.value)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_timeout_ends_the_tool_and_its_children(tmp_path: Path) -> None:
    script = "sleep 60 & echo $!; (sleep 60 & echo $!; wait); wait"
    begin = time.monotonic()
    with pytest.raises(JpHwError, match=r"sh took more than 1 s; see .*x\.log"):
        run_tool(["sh", "-c", script], tmp_path, log="x.log", timeout=1.0)
    assert time.monotonic() - begin < 20
    children = [int(line) for line in (tmp_path / "x.log").read_text().split()]
    assert len(children) == 2
    deadline = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        assert not any(map(alive, children))
    finally:
        for child in filter(alive, children):
            os.kill(child, signal.SIGKILL)
