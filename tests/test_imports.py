"""The architecture's import table: who may import whom, and what must stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "jp_hw"

# every unit, with all that it may import; units are modules or packages right below jp_hw
TABLE: dict[str, set[str]] = {
    "errors": set(),
    "resources": set(),
    "registers": set(),
    "dense": set(),
    "ir": {"errors"},
    "ir_file": {"errors", "ir"},
    "boards": {"errors", "resources"},
    "templates_env": {"resources"},
    "plan": {"errors"},
    "twin": {"ir"},
    "golden": {"dense", "errors", "ir"},
    "macs": {"dense", "golden", "ir"},
    "graph": {"ir"},
    "kernels": {"errors", "graph", "ir"},
    "passes": {"errors", "graph", "ir", "kernels"},
    "float_model": {"dense", "golden", "graph", "ir", "passes"},
    "nn": {"errors"},
    "models": {"errors", "nn"},
    "imagefolder": {"errors"},
    "datasets": {"errors", "imagefolder"},
    "frontends": {"errors", "graph", "ir", "nn"},
    "quantize": {"errors", "float_model", "frontends", "graph", "ir", "passes"},
    "zoo": {"datasets", "errors", "models", "nn"},
    "figures": set(),
    "explore": {
        "boards", "datasets", "errors", "evaluate", "figures", "golden", "ir", "ir_file", "schedule",
        "zoo",
    },
    "train": {"datasets", "errors", "figures", "imagefolder", "models", "nn", "zoo"},
    "evaluate": {"datasets", "golden", "ir", "macs", "quantize", "zoo"},
    "schedule": {"boards", "dense", "errors", "golden", "ir", "macs"},
    "emit": {"errors", "ir", "ir_file", "registers", "resources", "schedule", "templates_env"},
    "build": {
        "boards", "emit", "errors", "golden", "ir", "ir_file", "macs", "plan", "registers", "schedule",
    },
    "hls": {"boards", "errors", "plan", "templates_env"},
    "simulators": {"errors", "plan"},
    "cocotb_job": set(),
    "testbench": set(),
    "csim": {"errors", "ir", "plan"},
    "simulate": {
        "build", "emit", "errors", "golden", "hls", "ir", "macs", "native_bench",
        "registers", "schedule", "simulators",
    },
    "native_bench": {"errors", "plan", "simulators", "templates_env"},
    "timing": {"errors"},
    "synth": {"boards", "doctor", "emit", "errors", "plan", "timing"},
    "doctor": {"csim", "simulators"},
    "driver": set(),
    "standin": set(),
    "images": {"datasets", "errors", "ir"},
    "processors": {"boards", "errors"},
    "progress_log": set(),
    "shell": {"emit", "ir_file", "registers", "schedule", "templates_env"},
    "vivado": {
        "boards", "errors", "plan", "processors", "progress_log", "schedule", "shell", "templates_env"
    },
    "openxc7": {
        "boards", "doctor", "emit", "errors", "plan", "schedule", "shell", "templates_env"
    },
    "simboard": {
        "emit", "errors", "plan", "resources", "shell", "simulators", "templates_env"
    },
    "bundle": {
        "boards", "build", "golden", "ir_file", "macs", "plan", "processors", "registers", "resources",
        "shell", "templates_env", "vivado",
    },
    "ssh": {"errors"},
    "deploy": {"errors", "ssh"},
    "target": {
        "build", "bundle", "deploy", "errors", "images", "ir", "ir_file", "plan", "shell", "simboard",
        "ssh",
    },
    "overlay": {"build", "bundle", "errors", "openxc7", "target", "vivado"},
    "api": {
        "boards", "build", "csim", "errors", "golden", "ir", "plan", "quantize", "schedule", "simulate"
    },
    "cli": {
        "boards", "build", "csim", "datasets", "deploy", "doctor", "errors", "evaluate", "explore",
        "golden", "hls", "images", "ir", "ir_file", "overlay", "plan", "schedule", "simulate", "ssh",
        "synth", "target", "timing", "train", "twin", "zoo",
    },
}  # fmt: skip


def unit_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Units of jp_hw that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("jp_hw.")
            }
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("jp_hw"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("unit", sorted(TABLE))
def test_imports_are_in_the_table(unit: str) -> None:
    files = [p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE]
    own = [path for path in files if unit_of(path) == unit]
    assert own, f"jp_hw has no unit {unit}"
    used = set().union(*(imports(path) for path in own)) - {unit}
    assert used <= TABLE[unit], f"{unit} may not import {sorted(used - TABLE[unit])}"


def test_every_unit_is_in_the_table() -> None:
    units = {unit_of(p) for p in PACKAGE.rglob("*.py")} - {"__init__"}
    assert units == set(TABLE)


def test_the_table_has_no_cycle() -> None:
    left = {unit: set(needs) for unit, needs in TABLE.items()}
    while left:
        ready = {unit for unit, needs in left.items() if not needs & set(left)}
        assert ready, f"import cycle among {sorted(left)}"
        left = {unit: needs for unit, needs in left.items() if unit not in ready}


@pytest.mark.parametrize(
    "module", ["jp_hw", "jp_hw.cli", "jp_hw.api", "jp_hw.zoo", "jp_hw.simulate"]
)
def test_import_is_light(module: str) -> None:
    heavy = "{'torch', 'hls4ml', 'matplotlib', 'numba', 'cocotb'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
