// Collects the last layer's accumulators and sends them as logits in class order.
//
// Contract: takes winners {marker, channel, x, accumulator} in any order, every class once a frame,
// a marker after each frame; gives AXI4-Stream beats of 32 bits, accumulator + bias, class 0 first,
// tlast on the last. tuser is the frame's error flag, taken from error_i (one per frame, in order).
// Two frames can be inside, one arriving while the other leaves.
module jp_logits #(
    parameter PostFile = "",  // {class, bias} per channel
    parameter int Channels = 2,
    parameter int ChannelBits = 1,
    parameter int XBits = 1,
    parameter int AccBits = 16,
    parameter int SumBits = 17,
    parameter int Classes = 2,
    parameter int ClassBits = 1,
    localparam int InWidth = 1 + ChannelBits + XBits + AccBits
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               valid_i,
    output logic               ready_o,
    input  logic [InWidth-1:0] winner_i,
    input  logic               error_valid_i,
    output logic               error_ready_o,
    input  logic               error_i,
    output logic               m_axis_tvalid_o,
    input  logic               m_axis_tready_i,
    output logic [31:0]        m_axis_tdata_o,
    output logic               m_axis_tlast_o,
    output logic               m_axis_tuser_o
);
  logic valid_1q, valid_2q, marker_1q, marker_2q, advance;
  logic signed [AccBits-1:0] acc_1q;
  logic signed [SumBits-1:0] bias_1, sum_2q;
  logic [ClassBits-1:0] class_1, class_2q;

  // ---- add the bias
  jp_rom #(.File(PostFile), .Width(ClassBits + SumBits), .Depth(Channels),
           .AddrBits(ChannelBits)) u_post (
      .clk_i, .en_i(advance), .addr_i(winner_i[AccBits+XBits +: ChannelBits]),
      .data_o({class_1, bias_1})
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_1q <= 1'b0;
      valid_2q <= 1'b0;
    end else if (advance) begin
      valid_1q <= valid_i;
      valid_2q <= valid_1q;
    end
  end
  always_ff @(posedge clk_i) begin
    if (advance) begin
      marker_1q <= winner_i[InWidth-1];
      acc_1q <= winner_i[AccBits-1:0];
      marker_2q <= marker_1q;
      sum_2q <= SumBits'(acc_1q) + bias_1;
      class_2q <= class_1;
    end
  end

  // ---- two banks of logits: one filling, one leaving
  logic signed [SumBits-1:0] mem [2 << ClassBits];
  logic [1:0] full_q;
  logic write_bank_q, read_bank_q, take, sent, done, out_ready;
  logic [ClassBits-1:0] read_class_q;

  assign advance = !(valid_2q && full_q[write_bank_q]);
  assign ready_o = advance;
  assign take = valid_2q && advance;

  always_ff @(posedge clk_i) begin
    if (take && !marker_2q) mem[{write_bank_q, class_2q}] <= sum_2q;
  end

  assign sent = full_q[read_bank_q] && error_valid_i && out_ready;
  assign done = sent && read_class_q == ClassBits'(Classes - 1);
  assign error_ready_o = done;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      full_q <= '0;
      write_bank_q <= 1'b0;
      read_bank_q <= 1'b0;
      read_class_q <= '0;
    end else begin
      if (take && marker_2q) begin
        full_q[write_bank_q] <= 1'b1;
        write_bank_q <= !write_bank_q;
      end
      if (sent) read_class_q <= done ? '0 : read_class_q + 1'b1;
      if (done) begin
        full_q[read_bank_q] <= 1'b0;
        read_bank_q <= !read_bank_q;
      end
    end
  end

  jp_spill #(.Width(34)) u_beat (
      .clk_i, .rst_ni,
      .valid_i(full_q[read_bank_q] && error_valid_i),
      .ready_o(out_ready),
      .data_i({error_i, read_class_q == ClassBits'(Classes - 1),
               32'(mem[{read_bank_q, read_class_q}])}),
      .valid_o(m_axis_tvalid_o),
      .ready_i(m_axis_tready_i),
      .data_o({m_axis_tuser_o, m_axis_tlast_o, m_axis_tdata_o})
  );
endmodule
