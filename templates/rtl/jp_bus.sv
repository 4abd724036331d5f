// The way to the PEs that some lanes of a layer share: one word of work a cycle.
//
// Contract: a lane offers {marker, work} to the PEs of target_i, a marker to all of them; its word is
// taken when valid_i and ready_o are high (ready_o is high, too, while it offers none). A word waits
// while any PE that it is for is not ready; what is sent comes a cycle later. pe_ready_i may be a cycle
// late: the FIFOs behind pe_valid_o need one word of slack.
// Lanes that have columns take turns, whether one could go or must wait for a PE. A marker waits until all lanes have come to one; together they are one marker.
// Edge case: a column that no PE has is taken, and nothing is sent.
module jp_bus #(
    parameter int Lanes = 1,
    parameter int Pes = 1,
    parameter int Width = 8  // of the work, its marker included
) (
    input  logic                   clk_i,
    input  logic                   rst_ni,
    input  logic [Lanes-1:0]       valid_i,
    output logic [Lanes-1:0]       ready_o,
    input  logic [Lanes*Pes-1:0]   target_i,  // zero where valid_i is low
    input  logic [Lanes*Width-1:0] work_i,
    output logic [Pes-1:0]         pe_valid_o,
    input  logic [Pes-1:0]         pe_ready_i,
    output logic [Width-1:0]       pe_work_o
);
  logic [Lanes-1:0] full;  // a PE that the word is for is not ready
  always_comb begin
    for (int l = 0; l < Lanes; l++) full[l] = |(target_i[l*Pes +: Pes] & ~pe_ready_i);
  end

  logic [Pes-1:0] target;
  logic [Width-1:0] work;
  logic waits;

  if (Lanes == 1) begin : g_alone
    assign ready_o = ~full;
    assign waits = full[0];
    assign target = target_i;
    assign work = work_i;
    logic unused;
    assign unused = &{1'b0, valid_i};
  end else begin : g_shared
    logic [Lanes-1:0] marker, column, chosen, turn_q;
    logic together;

    always_comb begin
      for (int l = 0; l < Lanes; l++) marker[l] = work_i[l*Width + Width - 1];
      column = valid_i & ~marker;
      // the first lane with a column, from the one on whose turn it is
      chosen = column;
      for (int l = 0; l < Lanes; l++)
        for (int t = 0; t < Lanes; t++)
          for (int i = 0; i < (l - t + Lanes) % Lanes; i++)
            if (turn_q[t] && column[(t + i) % Lanes]) chosen[l] = 1'b0;
      target = '0;
      work = '0;
      for (int l = 0; l < Lanes; l++) begin
        if (chosen[l] || together) target |= target_i[l*Pes +: Pes];
        if (chosen[l]) work |= work_i[l*Width +: Width];
      end
      work[Width-1] = together;
    end
    assign together = &(valid_i & marker);
    assign ready_o = ~full & (~valid_i | chosen | {Lanes{together}});
    assign waits = |(full & (chosen | {Lanes{together}}));

    always_ff @(posedge clk_i) begin
      if (!rst_ni) turn_q <= Lanes'(1);
      else if (|column) turn_q <= {chosen[Lanes-2:0], chosen[Lanes-1]};  // the next one's
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || waits) pe_valid_o <= '0;
    else pe_valid_o <= target;
  end
  always_ff @(posedge clk_i) pe_work_o <= work;
endmodule
