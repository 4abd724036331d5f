// Turns winners of a layer into tokens of the next one.
//
// Contract: takes {marker, channel, x, accumulator}, gives {marker, channel, x, value}, in order, one
// a cycle, latency 6 cycles. With s = accumulator + bias[channel] and m = multiplier[channel], or
// negative[channel] where s < 0:   value = clamp((s * m + (1 << Shift-1)) >>> Shift, Low, High).
// With Table the clamped number is an index, and value is word index - Low of TableFile;
// latency 7 cycles.
// A stalled output stops the whole pipeline, and loses nothing.
module jp_requantizer #(
    parameter PostFile = "",  // {negative, multiplier, bias} per channel
    parameter TableFile = "",
    parameter int Table = 0,
    parameter int Channels = 2,
    parameter int ChannelBits = 1,
    parameter int XBits = 1,
    parameter int AccBits = 16,
    parameter int SumBits = 17,
    parameter int MultiplierBits = 17,
    parameter int Shift = 8,
    parameter int Low = 0,
    parameter int High = 255,
    parameter int ValueBits = 8,
    localparam int InWidth = 1 + ChannelBits + XBits + AccBits,
    localparam int OutWidth = 1 + ChannelBits + XBits + ValueBits
) (
    input  logic                clk_i,
    input  logic                rst_ni,
    input  logic                valid_i,
    output logic                ready_o,
    input  logic [InWidth-1:0]  winner_i,
    output logic                valid_o,
    input  logic                ready_i,
    output logic [OutWidth-1:0] token_o
);
  // wide enough for the product, and for the rounding constant where Shift is larger still
  localparam int ProductBits = (SumBits + MultiplierBits > Shift ? SumBits + MultiplierBits : Shift) + 1;
  localparam int PlaceBits = 1 + ChannelBits + XBits;
  localparam int Stages = Table != 0 ? 6 : 5;
  localparam int IndexBits = $clog2(High - Low + 1);  // of a table's index

  logic advance;
  logic [Stages-1:0] valid_q;
  logic [Stages*PlaceBits-1:0] place_q;
  logic [PlaceBits-1:0] place;
  logic signed [AccBits-1:0] acc, acc_1q;
  logic signed [SumBits-1:0] bias_1, sum_2q;
  logic [MultiplierBits-1:0] multiplier_1, negative_1, multiplier_2q, negative_2q, factor;
  logic signed [ProductBits-1:0] product_3q, product_4q, rounded;
  logic [ValueBits-1:0] value;

  assign {place, acc} = winner_i;
  assign ready_o = advance;

  jp_rom #(.File(PostFile), .Width(SumBits + 2 * MultiplierBits), .Depth(Channels),
           .AddrBits(ChannelBits)) u_post (
      .clk_i, .en_i(advance), .addr_i(place[XBits +: ChannelBits]),
      .data_o({negative_1, multiplier_1, bias_1})
  );

  assign factor = sum_2q < 0 ? negative_2q : multiplier_2q;
  assign rounded = (product_4q + (ProductBits'(1) <<< (Shift - 1))) >>> Shift;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else if (advance) valid_q <= {valid_q[Stages-2:0], valid_i};
  end

  always_ff @(posedge clk_i) begin
    if (advance) begin
      place_q <= {place_q[(Stages-1)*PlaceBits-1:0], place};
      acc_1q <= acc;
      sum_2q <= SumBits'(acc_1q) + bias_1;
      multiplier_2q <= multiplier_1;
      negative_2q <= negative_1;
      product_3q <= sum_2q * $signed({1'b0, factor});
      product_4q <= product_3q;
    end
  end

  if (Table == 0) begin : g_clamp
    logic [ValueBits-1:0] value_5q;
    always_ff @(posedge clk_i) begin
      if (advance) begin
        if (rounded > ProductBits'(High)) value_5q <= ValueBits'(High);
        else if (rounded < ProductBits'(Low)) value_5q <= ValueBits'(Low);
        else value_5q <= rounded[ValueBits-1:0];
      end
    end
    assign value = value_5q;
  end else begin : g_table
    logic [IndexBits-1:0] index_5q;
    always_ff @(posedge clk_i) begin
      if (advance) begin
        if (rounded > ProductBits'(High)) index_5q <= IndexBits'(High - Low);
        else if (rounded < ProductBits'(Low)) index_5q <= '0;
        else index_5q <= IndexBits'(rounded - ProductBits'(Low));
      end
    end
    jp_rom #(.File(TableFile), .Width(ValueBits), .Depth(High - Low + 1), .AddrBits(IndexBits)) u_table (
        .clk_i, .en_i(advance), .addr_i(index_5q), .data_o(value)
    );
  end

  jp_spill #(.Width(OutWidth)) u_spill (
      .clk_i, .rst_ni,
      .valid_i(valid_q[Stages-1]),
      .ready_o(advance),
      .data_i({place_q[Stages*PlaceBits-1 -: PlaceBits], value}),
      .valid_o, .ready_i,
      .data_o(token_o)
  );
endmodule
