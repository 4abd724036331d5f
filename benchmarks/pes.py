"""What a PE takes: LUTs and flip-flops by layer, with its part of what its group shares.

``python -m benchmarks.pes BUILD`` synthesizes the first group of every layer with its own memory
contents and prints one JSON object; the median is over all PEs of the design.
"""

import argparse
import json
from pathlib import Path
from statistics import median

from jp_hw.build import open_build
from jp_hw.synth import synth_group


def main() -> None:
    """Print the figures of one build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    options = parser.parse_args()
    build = open_build(options.build)
    layers, luts = [], []
    for i, layer in enumerate(build.design.layers):
        _, pes = layer.groups[0][0]
        found = synth_group(options.build, build.design.board, i)
        own = {"lut_per_pe": found.lut / pes, "ff_per_pe": found.ff / pes}
        layers.append({"name": layer.name, "pes": layer.pes, "group": pes, **own})
        luts += [found.lut / pes] * layer.pes
    print(json.dumps({"median_lut": median(luts), "pes": len(luts), "layers": layers}, indent=2))


if __name__ == "__main__":
    main()
