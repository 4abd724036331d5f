// AXI4-Lite slave in front of a file of 32-bit registers.
//
// Contract: reads return values_i[32*index +: 32] for the word-aligned address 4 * index; a write
// gives one pulse of write_valid_o with its index and data. An address beyond the registers, or a
// write with less than four byte strobes, is answered SLVERR and does nothing. One access of each kind
// at a time; address and data of a write may come in any order.
module jp_axil #(
    parameter int Registers = 1,
    parameter int AddrBits = 12
) (
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic [AddrBits-1:0]     awaddr_i,
    input  logic                    awvalid_i,
    output logic                    awready_o,
    input  logic [31:0]             wdata_i,
    input  logic [3:0]              wstrb_i,
    input  logic                    wvalid_i,
    output logic                    wready_o,
    output logic [1:0]              bresp_o,
    output logic                    bvalid_o,
    input  logic                    bready_i,
    input  logic [AddrBits-1:0]     araddr_i,
    input  logic                    arvalid_i,
    output logic                    arready_o,
    output logic [31:0]             rdata_o,
    output logic [1:0]              rresp_o,
    output logic                    rvalid_o,
    input  logic                    rready_i,
    input  logic [32*Registers-1:0] values_i,
    output logic                    write_valid_o,
    output logic [AddrBits-3:0]     write_index_o,
    output logic [31:0]             write_data_o
);
  // a read selects among all registers in two steps: within groups of 16, then the group
  localparam int LowBits = 4;
  localparam int Groups = (Registers + (1 << LowBits) - 1) >> LowBits;
  localparam int GroupBits = Groups > 1 ? $clog2(Groups) : 1;
  localparam logic [1:0] Okay = 2'b00;
  localparam logic [1:0] SlaveError = 2'b10;

  // ---- write
  logic [AddrBits-1:0] awaddr_q;
  logic [31:0] wdata_q;
  logic [3:0] wstrb_q;
  logic have_address_q, have_data_q, write_ok;

  assign awready_o = !have_address_q && rst_ni;
  assign wready_o = !have_data_q && rst_ni;
  assign write_ok = 32'(awaddr_q[AddrBits-1:2]) < Registers && awaddr_q[1:0] == '0
                    && wstrb_q == 4'hf;
  assign write_valid_o = have_address_q && have_data_q && !bvalid_o && write_ok;
  assign write_index_o = awaddr_q[AddrBits-1:2];
  assign write_data_o = wdata_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      have_address_q <= 1'b0;
      have_data_q <= 1'b0;
      bvalid_o <= 1'b0;
      bresp_o <= Okay;
    end else begin
      if (awvalid_i && awready_o) have_address_q <= 1'b1;
      if (wvalid_i && wready_o) have_data_q <= 1'b1;
      if (have_address_q && have_data_q && !bvalid_o) begin
        bvalid_o <= 1'b1;
        bresp_o <= write_ok ? Okay : SlaveError;
      end else if (bvalid_o && bready_i) begin
        bvalid_o <= 1'b0;
        have_address_q <= 1'b0;
        have_data_q <= 1'b0;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (awvalid_i && awready_o) awaddr_q <= awaddr_i;
    if (wvalid_i && wready_o) {wstrb_q, wdata_q} <= {wstrb_i, wdata_i};
  end

  // ---- read
  logic [AddrBits-1:0] araddr_q;
  logic have_read_q, fetched_q, read_ok;
  logic [Groups-1:0][31:0] group_q;  // of each group, the word that the low bits of the index name
  logic [31:0] read_word;

  assign arready_o = !have_read_q && rst_ni;
  assign read_ok = 32'(araddr_q[AddrBits-1:2]) < Registers && araddr_q[1:0] == '0;
  assign read_word = group_q[GroupBits'(araddr_q[AddrBits-1:2] >> LowBits)];

  for (genvar g = 0; g < Groups; g++) begin : g_group
    localparam int Count = Registers - (g << LowBits) < 1 << LowBits ? Registers - (g << LowBits) : 1 << LowBits;
    localparam int CountBits = Count > 1 ? $clog2(Count) : 1;
    always_ff @(posedge clk_i) begin
      group_q[g] <= values_i[32*((g << LowBits) + 32'(CountBits'(araddr_q[AddrBits-1:2]))) +: 32];
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      have_read_q <= 1'b0;
      fetched_q <= 1'b0;
      rvalid_o <= 1'b0;
      rresp_o <= Okay;
    end else begin
      if (arvalid_i && arready_o) have_read_q <= 1'b1;
      fetched_q <= have_read_q && !fetched_q && !rvalid_o;
      if (fetched_q) begin
        rvalid_o <= 1'b1;
        rresp_o <= read_ok ? Okay : SlaveError;
      end else if (rvalid_o && rready_i) begin
        rvalid_o <= 1'b0;
        have_read_q <= 1'b0;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (arvalid_i && arready_o) araddr_q <= araddr_i;
    if (fetched_q) rdata_o <= read_ok ? read_word : '0;
  end
endmodule
