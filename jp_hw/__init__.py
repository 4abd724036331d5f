"""FPGA co-design for jointly pruned networks: see `jp_hw.api` for the stages as functions."""
