// Register stage in front of a reader: one word deep, one word a cycle, cuts valid and data.
//
// Contract: AXI4-Stream handshake on both sides; valid_o and data_o are registered; latency 1 cycle.
// ready_o follows ready_i within the cycle: jp_spill also cuts that, for twice the registers.
module jp_stage #(
    parameter int Width = 8
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             valid_i,
    output logic             ready_o,
    input  logic [Width-1:0] data_i,
    output logic             valid_o,
    input  logic             ready_i,
    output logic [Width-1:0] data_o
);
  assign ready_o = !valid_o || ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_o <= 1'b0;
    else if (ready_o) valid_o <= valid_i;
  end
  always_ff @(posedge clk_i) begin
    if (ready_o) data_o <= data_i;
  end
endmodule
