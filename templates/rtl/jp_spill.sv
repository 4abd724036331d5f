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
  logic moves;
  assign moves = !valid_o || ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_o <= 1'b0;
      spare_valid_q <= 1'b0;
      ready_o <= 1'b0;
    end else begin
      ready_o <= moves || !(spare_valid_q || (valid_i && ready_o));
      if (moves) begin
        valid_o <= spare_valid_q || (valid_i && ready_o);
        spare_valid_q <= 1'b0;
      end else if (valid_i && ready_o) begin
        spare_valid_q <= 1'b1;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (moves) data_o <= spare_valid_q ? spare_q : data_i;
    if (ready_o) spare_q <= data_i;
  end
endmodule
