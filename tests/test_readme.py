"""README.md stays true: its Python runs, its commands and files exist."""

import re
from pathlib import Path

import pytest

from jp_hw.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code) == 1
    monkeypatch.chdir(tmp_path)
    exec(compile(code[0], "README.md", "exec"), {})
    assert capfd.readouterr().out.startswith("True ")


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    for folder in re.findall(r"^\| `([a-z_/]+)/` \|", README, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_commands_exist() -> None:
    known = {
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback
    }
    named = set(re.findall(r"jp-hw ([a-z]+)", README))
    assert named <= known
    assert known <= named


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
