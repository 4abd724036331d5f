// Merges the winner queues of PEs into one stream: rows stay together, the order within a row is free.
//
// Contract: every input says whether its queue has a word (valid_i) and whether that is a marker
// (marker_i). pop_o takes a word; it must be on data_i in the next cycle, where the inputs that were
// not popped are zero. So the words are simply or'ed. Of data words one leaves its queue a cycle, but no
// input gives two in a row; when every input has come to a marker, all leave together and become one,
// whose data means nothing. Output: AXI4-Stream handshake.
// Up to Near inputs: of those that have a word the first one is popped, every other cycle at most.
// More: they ask in blocks, of which each proposes its first that asks, and the first block's proposal
// is popped a cycle later; an input asks again 3 cycles after it proposed, or 4 if it was popped.
// Latency: 3 cycles from valid_i to valid_o, in blocks 5; Depth words wait for a reader that stalls.
module jp_merge #(
    parameter int Inputs = 2,
    parameter int Width = 8,
    parameter int Depth = 16
) (
    input  logic                    clk_i,
    input  logic                    rst_ni,
    input  logic [Inputs-1:0]       valid_i,
    input  logic [Inputs-1:0]       marker_i,
    output logic [Inputs-1:0]       pop_o,
    input  logic [Inputs*Width-1:0] data_i,
    output logic                    valid_o,
    input  logic                    ready_i,
    output logic [Width-1:0]        data_o
);
  localparam int Near = 8;

  // ---- choice: what a queue that is being popped has next is not known yet
  logic [Inputs-1:0] first;
  logic at_markers, room;

  if (Inputs <= Near) begin : g_near
    logic [Inputs-1:0] wants;
    assign wants = valid_i & ~pop_o & ~marker_i;
    assign at_markers = &(valid_i & ~pop_o & marker_i);
    always_comb begin
      for (int i = 0; i < Inputs; i++)
        first[i] = wants[i] && (wants & ((Inputs'(1) << i) - 1'b1)) == '0;
    end
  end else begin : g_far
    // so few blocks, of so few inputs, that a LUT or two choose
    localparam int Block = Inputs <= 24 ? 4 : (Inputs + 5) / 6;
    localparam int Blocks = (Inputs + Block - 1) / Block;

    logic [Inputs-1:0] asks_q, proposed, proposed_q;
    logic [Blocks*Block-1:0] asking, leading;
    logic [Blocks-1:0] some, some_q;

    always_comb begin
      asking = '0;
      asking[Inputs-1:0] = asks_q;
      for (int b = 0; b < Blocks; b++) begin
        some[b] = |asking[b*Block +: Block];
        for (int i = 0; i < Block; i++)
          leading[b*Block + i] = asking[b*Block + i]
                                 && (asking[b*Block +: Block] & ((Block'(1) << i) - 1'b1)) == '0;
      end
      proposed = leading[Inputs-1:0];
      for (int i = 0; i < Inputs; i++)
        first[i] = proposed_q[i] && (some_q & ((Blocks'(1) << (i / Block)) - 1'b1)) == '0;
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        asks_q <= '0;
        proposed_q <= '0;
        some_q <= '0;
        at_markers <= 1'b0;
      end else begin
        asks_q <= valid_i & ~marker_i & ~proposed & ~proposed_q & ~pop_o;
        proposed_q <= proposed;
        some_q <= some;
        at_markers <= &(valid_i & ~pop_o & marker_i) && !(at_markers && room);
      end
    end

    logic unused;
    assign unused = &{1'b0, leading};  // of a last block that is not full
  end

  logic sent_q;  // a word is on data_i

  always_ff @(posedge clk_i) begin
    if (!rst_ni || !room) pop_o <= '0;
    else pop_o <= at_markers ? '1 : first;
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) sent_q <= 1'b0;
    else sent_q <= |pop_o;
  end

  // ---- the word
  logic [Width-1:0] word;
  always_comb begin
    word = '0;
    for (int i = 0; i < Inputs; i++) word |= data_i[i*Width +: Width];
  end

  jp_fifo #(.Width(Width), .Depth(Depth), .Slack(2), .Early(1)) u_fifo (
      .clk_i, .rst_ni,
      .valid_i(sent_q),
      .ready_o(room),
      .data_i(word),
      .valid_o, .ready_i, .data_o
  );
endmodule
