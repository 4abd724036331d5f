"""README.md stays true: its Python runs, its commands and files exist."""

import json
import re
from pathlib import Path

import pytest

from jp_hw import zoo
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


def test_figures_are_those_of_the_last_benchmarks() -> None:
    results = ROOT / "benchmarks" / "results"
    measured = json.loads((results / "networks.json").read_text())
    most = json.loads((results / "mlp3.json").read_text())["cycles"][-1]
    figures = {"mlp3": ("pynq-z2", most["pes"], most)} | {
        name: (part["board"], part["pes"], part["predicted"])
        for name, part in measured.items()
        if name != "machine"
    }
    rows = re.findall(r"^\| `(\w+)` \| ([\w-]+) \| (.*) \|$", README, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(figures)
    for name, board, rest in rows:
        wanted, pes, own = figures[name]
        cycles = own["cycles_per_image"]
        accuracy = zoo.load(name).info["metrics"]["jpnet"]["accuracy"]
        assert board == wanted
        assert rest.split(" | ") == [
            f"{100 * accuracy:.2f} %",
            str(pes),
            f"{cycles:,.1f}",
            f"{1e8 / cycles:,.0f}",
            f"{100 * own['utilization']:.1f} %",
        ]
    busy = json.loads((results / "busy.json").read_text())["resnet8"]
    own = busy["predicted"]
    command = f"`jp-hw generate resnet8 --utilization {busy['utilization_wanted']}`"
    share, cycles = 100 * own["utilization"], own["cycles_per_image"]
    assert f"{command} gives {busy['pes']} PEs that take {cycles:,.1f} cycles" in README
    assert f"and are busy {share:.1f} % of the time" in README
    timing = json.loads((results / "synth_resnet8.json").read_text())["timing"]
    assert f"(`jp-hw synth`: {timing['estimated_mhz']:.0f} MHz)" in README
