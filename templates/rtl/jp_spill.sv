// Register stage that cuts valid, data and ready: two words deep, one word a cycle.
//
// Contract: AXI4-Stream handshake on both sides; outputs are registered; latency 1 cycle.
module jp_spill #(
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
  logic spare_valid_q;
  logic [Width-1:0] spare_q;

  // ready_o is low exactly while the spare word is taken, and during reset
  logic moves, has;
  assign moves = !valid_o || ready_i;
  assign has = spare_valid_q || (valid_i && ready_o);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_o <= 1'b0;
      spare_valid_q <= 1'b0;
      ready_o <= 1'b0;
    end else begin
      // one LUT each: no enable or reset, which would be a level of its own behind ready_i
      valid_o <= has || !moves;
      spare_valid_q <= has && !moves;
      ready_o <= !has || moves;
    end
  end

  always_ff @(posedge clk_i) begin
    if (moves) data_o <= spare_valid_q ? spare_q : data_i;
    if (ready_o) spare_q <= data_i;
  end
endmodule
