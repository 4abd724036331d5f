"""jp_axil under cocotbext-axi's master, and by hand where a master is too well behaved."""

from pathlib import Path

from rtl_tests.common import on_simulators, run

SETS = {
    "some": {"Registers": 11, "AddrBits": 8},
    "one": {"Registers": 1, "AddrBits": 4},
    "all": {"Registers": 4, "AddrBits": 4},
    "nearly": {"Registers": 7, "AddrBits": 5},
    "many": {"Registers": 37, "AddrBits": 9},
}

# cocotbext-axi finds a bus by its usual names
TOP = """module axil_top #(parameter int Registers = 1, parameter int AddrBits = 12) (
    input logic clk_i, input logic rst_ni,
    input logic [AddrBits-1:0] s_axi_awaddr, input logic [2:0] s_axi_awprot,
    input logic s_axi_awvalid, output logic s_axi_awready,
    input logic [31:0] s_axi_wdata, input logic [3:0] s_axi_wstrb,
    input logic s_axi_wvalid, output logic s_axi_wready,
    output logic [1:0] s_axi_bresp, output logic s_axi_bvalid, input logic s_axi_bready,
    input logic [AddrBits-1:0] s_axi_araddr, input logic [2:0] s_axi_arprot,
    input logic s_axi_arvalid, output logic s_axi_arready,
    output logic [31:0] s_axi_rdata, output logic [1:0] s_axi_rresp,
    output logic s_axi_rvalid, input logic s_axi_rready,
    input logic [32*Registers-1:0] values_i,
    output logic write_valid_o, output logic [AddrBits-3:0] write_index_o,
    output logic [31:0] write_data_o
);
  jp_axil #(.Registers(Registers), .AddrBits(AddrBits)) u_axil (
      .clk_i, .rst_ni,
      .awaddr_i(s_axi_awaddr), .awvalid_i(s_axi_awvalid), .awready_o(s_axi_awready),
      .wdata_i(s_axi_wdata), .wstrb_i(s_axi_wstrb), .wvalid_i(s_axi_wvalid), .wready_o(s_axi_wready),
      .bresp_o(s_axi_bresp), .bvalid_o(s_axi_bvalid), .bready_i(s_axi_bready),
      .araddr_i(s_axi_araddr), .arvalid_i(s_axi_arvalid), .arready_o(s_axi_arready),
      .rdata_o(s_axi_rdata), .rresp_o(s_axi_rresp), .rvalid_o(s_axi_rvalid), .rready_i(s_axi_rready),
      .values_i, .write_valid_o, .write_index_o, .write_data_o
  );
endmodule
"""


@on_simulators(SETS)
def test_axil(simulator: str, parameters: dict[str, int], tmp_path: Path) -> None:
    run("axil_top", parameters, "bench_axil", tmp_path, simulator, files={"axil_top.sv": TOP})
