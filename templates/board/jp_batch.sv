// Cuts a DMA engine's transfers into frames, and joins the frames' results into one transfer.
//
// An AXI DMA engine in simple mode gives one tlast per transfer, and ends a transfer at the first tlast
// it gets; the accelerator wants and gives one per frame. With this module between them one transfer
// carries any number of frames.
//
// Contract: on the way in, every frame takes ceil(FrameBytes / 8) beats; the last one leaves with tlast, and
// without the bytes beyond the frame. tlast from the DMA engine ends the frame under way as well, and
// marks the end of a batch. On the way out, tlast passes only with the last frame of a batch. Up to
// Frames frames can be under way; beats pass in the same cycle.
module jp_batch #(
    parameter int FrameBytes = 8,
    parameter int Frames = 16  // a power of two
) (
    input  logic        clk_i,
    input  logic        rst_ni,
    // from the DMA engine
    input  logic        in_tvalid_i,
    output logic        in_tready_o,
    input  logic [7:0]  in_tkeep_i,
    input  logic        in_tlast_i,
    // to the accelerator
    output logic        frame_tvalid_o,
    input  logic        frame_tready_i,
    output logic [7:0]  frame_tkeep_o,
    output logic        frame_tlast_o,
    // from the accelerator
    input  logic        logit_tvalid_i,
    output logic        logit_tready_o,
    input  logic        logit_tlast_i,
    // to the DMA engine
    output logic        out_tvalid_o,
    input  logic        out_tready_i,
    output logic        out_tlast_o
);
  localparam int Beats = (FrameBytes + 7) / 8;
  localparam int BeatBits = Beats > 1 ? $clog2(Beats) : 1;
  localparam int Tail = FrameBytes - 8 * (Beats - 1);
  localparam logic [7:0] TailKeep = 8'(9'h1ff >> (9 - Tail));

  // ---- in
  logic [BeatBits-1:0] beat_q;
  logic is_last_beat, is_end, flag_ready, taken;

  assign is_last_beat = beat_q == BeatBits'(Beats - 1);
  assign is_end = is_last_beat || in_tlast_i;
  assign frame_tvalid_o = in_tvalid_i && flag_ready && rst_ni;
  assign in_tready_o = frame_tready_i && flag_ready && rst_ni;
  assign frame_tkeep_o = is_last_beat ? in_tkeep_i & TailKeep : in_tkeep_i;
  assign frame_tlast_o = is_end;
  assign taken = in_tvalid_i && in_tready_o;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) beat_q <= '0;
    else if (taken) beat_q <= is_end ? '0 : beat_q + 1'b1;
  end

  // ---- whether a frame is its batch's last
  logic flag_valid, flag;

  jp_fifo #(.Width(1), .Depth(Frames)) u_flags (
      .clk_i, .rst_ni,
      .valid_i(taken && is_end),
      .ready_o(flag_ready),
      .data_i(in_tlast_i),
      .valid_o(flag_valid),
      .ready_i(logit_tvalid_i && logit_tready_o && logit_tlast_i),
      .data_o(flag)
  );

  // ---- out
  assign out_tvalid_o = logit_tvalid_i && flag_valid;
  assign logit_tready_o = out_tready_i && flag_valid;
  assign out_tlast_o = logit_tlast_i && flag;
endmodule
