// One token stream for several readers, each at its own pace.
//
// Contract: AXI4-Stream handshake; every reader gets every word once; a word is taken when the last
// reader has it. valid_o of one reader does not depend on the ready_i of any. Latency 0.
module jp_fork #(
    parameter int Outputs = 2
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               valid_i,
    output logic               ready_o,
    output logic [Outputs-1:0] valid_o,
    input  logic [Outputs-1:0] ready_i
);
  logic [Outputs-1:0] done_q;

  assign valid_o = {Outputs{valid_i}} & ~done_q;
  assign ready_o = &(ready_i | done_q);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) done_q <= '0;
    else if (valid_i) done_q <= ready_o ? '0 : done_q | ready_i;
  end
endmodule
