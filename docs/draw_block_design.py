"""Writes and draws the PYNQ-Z2's block design: `python docs/draw_block_design.py`.

The script that `jp-hw build` gives Vivado is written to docs/block-design.tcl, and run against the
tests' recorder of Vivado's commands; the cells and connections that the recorder has then are drawn
to docs/block-design.svg.
"""

import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PICTURE, SCRIPT = ROOT / "docs" / "block-design.svg", ROOT / "docs" / "block-design.tcl"
BOXES = {
    "ps": (20, 60, 170, 190),
    "reset": (20, 300, 170, 60),
    "control": (270, 40, 150, 110),
    "memory": (270, 210, 150, 110),
    "dma": (500, 120, 170, 160),
    "accelerator": (750, 90, 170, 150),
}
"""Where each cell is: x, y, width, height."""
COLOURS = {"axis": "#b5541c", "aximm": "#1f5fa8"}


def main() -> None:
    """Write both files."""
    PICTURE.write_text(picture())
    SCRIPT.write_text(tcl())
    print(f"wrote {PICTURE.relative_to(ROOT)} and {SCRIPT.relative_to(ROOT)}")


def tcl() -> str:
    """The script for the PYNQ-Z2."""
    from jp_hw import boards
    from jp_hw.vivado.script import script

    return script(boards.load("pynq-z2"), 100.0, "mlp3")


def picture() -> str:
    """The picture as SVG."""
    sys.path.insert(0, str(ROOT / "tests"))
    from test_vivado_script import record

    from jp_hw import boards

    with tempfile.TemporaryDirectory() as folder:
        return draw(record(Path(folder), boards.load("pynq-z2")))


def draw(recorder: Any) -> str:
    """SVG of a recorder's block design."""
    cells, links, nets = recorder.cells, recorder.links, recorder.nets
    assert set(cells) == set(BOXES)
    spots = _spots(links)
    lines = []
    for name, cell in cells.items():
        x, y, width, height = BOXES[name]
        middle, kind = x + width / 2, escape(cell.kind)
        lines.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" class="cell"/>'
        )
        lines.append(f'<text x="{middle}" y="{y - 8}" class="name">{name}</text>')
        lines.append(f'<text x="{middle}" y="{y + height - 8}" class="kind">{kind}</text>')
    for master, slave in links:
        cell, _, pin = master.partition("/")
        bus = cells[cell].interfaces[pin]
        (x0, y0, side0), (x1, y1, side1) = spots[master], spots[slave]
        bend = max(40, abs(x1 - x0) / 2)
        path = f"M{x0},{y0} C{x0 + side0 * bend},{y0} {x1 + side1 * bend},{y1} {x1},{y1}"
        mark = f"{bus.bus}{8 * bus.bytes if bus.bytes else ''}"
        lines.append(
            f'<path d="{path}" stroke="{COLOURS[bus.bus]}" marker-end="url(#{bus.bus})">'
            f"<title>{mark}</title></path>"
        )
    for path, (x, y, side) in spots.items():
        anchor = "end" if side > 0 else "start"
        at, pin = f'x="{x - 6 * side}" y="{y + 4}"', path.partition("/")[2]
        lines.append(f'<text {at} text-anchor="{anchor}">{pin}</text>')
    lines += _notes(recorder, nets)
    return HEAD + "\n".join(lines) + "\n</svg>\n"


def _spots(links: list[tuple[str, str]]) -> dict[str, tuple[float, float, int]]:
    """Where each interface pin is: x, y, and 1 on a right edge, -1 on a left one."""
    sides: dict[tuple[str, int], list[tuple[float, str]]] = {}
    for link in links:
        for path, other in (link, link[::-1]):
            (x, _, w, _), (ox, oy, ow, oh) = (
                BOXES[path.partition("/")[0]],
                BOXES[other.partition("/")[0]],
            )
            side = 1 if ox + ow / 2 > x + w / 2 else -1
            sides.setdefault((path.partition("/")[0], side), []).append((oy + oh / 2, path))
    spots = {}
    for (cell, side), pins in sides.items():
        x, y, width, height = BOXES[cell]
        for i, (_, path) in enumerate(sorted(pins, key=lambda pin: pin[0])):
            at = y + (height - 20) * (i + 1) / (len(pins) + 1)
            spots[path] = (x + width if side > 0 else x, at, side)
    return spots


def _notes(recorder: Any, nets: list[tuple[str, ...]]) -> list[str]:
    """Addresses, clock and reset, which would be too many lines."""
    texts = []
    for (space, segment), place in recorder.segments.items():
        where = f"at 0x{place[0]:08X}, {place[1] // 1024} KiB" if place else "all of DDR"
        texts.append(f"{space} sees {segment} {where}")
    for driver, *others in nets:
        texts.append(f"{driver} drives {', '.join(others)}")
    rows = []
    y = 400
    for text in texts:
        words, line = text.split(), ""
        for word in [*words, ""]:
            if word and len(line) + len(word) < 135:
                line = f"{line} {word}".strip()
            else:
                rows.append(f'<text x="20" y="{y}">{escape(line)}</text>')
                y, line = y + 17, f"   {word}"
    return rows


HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 940 560" font-family="sans-serif" font-size="11">
<!-- drawn by docs/draw_block_design.py -->
<defs>
<marker id="axis" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#b5541c" stroke="none"/></marker>
<marker id="aximm" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#1f5fa8" stroke="none"/></marker>
</defs>
<style>
.cell { fill: #f4f4ef; stroke: #555; }
.name { font-weight: bold; font-size: 13px; text-anchor: middle; }
.kind { fill: #666; text-anchor: middle; }
path { fill: none; stroke-width: 1.5; }
</style>
<rect width="940" height="560" fill="white"/>
"""  # noqa: E501

if __name__ == "__main__":
    main()
