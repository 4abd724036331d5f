// Multiply-accumulate, of a form that synthesis puts into one DSP block, registers and all.
//
// Contract: sum_o is weight_i * value_i of three cycles before plus, chosen in the cycle before, old_i
// (add_old_i) or sum_o itself; or zero, if clear_i was high in the cycle before.
module jp_mac #(
    parameter int WeightBits = 8,
    parameter int ValueBits = 9,
    parameter int AccBits = 16
) (
    input  logic                         clk_i,
    input  logic signed [WeightBits-1:0] weight_i,
    input  logic signed [ValueBits-1:0]  value_i,
    input  logic signed [AccBits-1:0]    old_i,
    input  logic                         add_old_i,
    input  logic                         clear_i,
    output logic signed [AccBits-1:0]    sum_o
);
  logic signed [WeightBits-1:0] weight_1q, weight_2q;
  logic signed [ValueBits-1:0] value_1q, value_2q;
  logic signed [WeightBits+ValueBits-1:0] product_3q;
  logic signed [AccBits-1:0] addend;

  // in this order: Yosys 0.66 makes the sum the addend where it should not if it comes first
  assign addend = add_old_i ? old_i : sum_o;

  always_ff @(posedge clk_i) begin
    {weight_1q, value_1q} <= {weight_i, value_i};
    {weight_2q, value_2q} <= {weight_1q, value_1q};
    product_3q <= weight_2q * value_2q;
    if (clear_i) sum_o <= '0;
    else sum_o <= addend + AccBits'(product_3q);
  end
endmodule
