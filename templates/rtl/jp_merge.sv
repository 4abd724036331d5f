// Merges streams of winners into one: rows stay together, the order within a row is free.
//
// Contract: words {marker, data}, AXI4-Stream handshake. Data words of all inputs pass, one a cycle,
// the first input that has one first; when every input has come to a marker, those become one, whose data
// means nothing. Outputs are registered; latency 1 cycle.
module jp_merge #(
    parameter int Inputs = 2,
    parameter int Width = 8
) (
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic [Inputs-1:0]       valid_i,
    output logic [Inputs-1:0]       ready_o,
    input  logic [Inputs*Width-1:0] data_i,
    output logic                    valid_o,
    input  logic                    ready_i,
    output logic [Width-1:0]        data_o
);
  localparam int IndexBits = Inputs > 1 ? $clog2(Inputs) : 1;

  logic [Inputs-1:0] marker, wants, grant;
  logic all_markers, room;
  logic [Width-1:0] word;
  logic [IndexBits-1:0] index;

  for (genvar i = 0; i < Inputs; i++) begin : g_input
    assign marker[i] = data_i[i*Width + Width - 1];
  end

  assign wants = valid_i & ~marker;
  always_comb begin
    for (int i = 0; i < Inputs; i++) grant[i] = wants[i] && (wants & ((Inputs'(1) << i) - 1'b1)) == '0;
  end
  assign all_markers = &(valid_i & marker);
  assign ready_o = room ? (all_markers ? '1 : grant) : '0;

  always_comb begin
    index = '0;
    for (int i = 0; i < Inputs; i++) index |= IndexBits'(i) & {IndexBits{grant[i]}};
    word = data_i[index*Width +: Width];
    word[Width-1] = all_markers;
  end

  jp_spill #(.Width(Width)) u_spill (
      .clk_i, .rst_ni,
      .valid_i(|wants || all_markers),
      .ready_o(room),
      .data_i(word),
      .valid_o, .ready_i, .data_o
  );
endmodule
