// DMA engine with the registers of AMD's AXI DMA in direct mode (PG021), for boards without Vivado.
//
// Contract: register offsets, the bits RS and Reset of the control registers, and Halted, Idle, the three
// errors and IOC of the status registers are AXI DMA's, so that PYNQ's driver works; there are no interrupts
// and no scatter-gather. MM2S reads from addresses that are a multiple of 8 in bursts of up to 16 beats
// that cross no 128-byte boundary, and sends 64-bit beats. S2MM writes each 32-bit word as one beat
// of 64 bits with strobes, to addresses that are a multiple of 4. Edge cases: a length of zero, an
// unaligned address, and a stream that goes on beyond the length are internal errors; an error halts
// the channel until a reset, which waits for what is under way on AXI.
module jp_dma #(
    parameter int AddrBits = 8
) (
    input  logic                clk_i,
    input  logic                rst_ni,
    // registers
    input  logic [AddrBits-1:0] s_axi_awaddr,
    input  logic                s_axi_awvalid,
    output logic                s_axi_awready,
    input  logic [31:0]         s_axi_wdata,
    input  logic [3:0]          s_axi_wstrb,
    input  logic                s_axi_wvalid,
    output logic                s_axi_wready,
    output logic [1:0]          s_axi_bresp,
    output logic                s_axi_bvalid,
    input  logic                s_axi_bready,
    input  logic [AddrBits-1:0] s_axi_araddr,
    input  logic                s_axi_arvalid,
    output logic                s_axi_arready,
    output logic [31:0]         s_axi_rdata,
    output logic [1:0]          s_axi_rresp,
    output logic                s_axi_rvalid,
    input  logic                s_axi_rready,
    // memory
    output logic [5:0]          m_axi_arid,
    output logic [31:0]         m_axi_araddr,
    output logic [3:0]          m_axi_arlen,
    output logic [2:0]          m_axi_arsize,
    output logic [1:0]          m_axi_arburst,
    output logic                m_axi_arvalid,
    input  logic                m_axi_arready,
    input  logic [5:0]          m_axi_rid,
    input  logic [63:0]         m_axi_rdata,
    input  logic [1:0]          m_axi_rresp,
    input  logic                m_axi_rlast,
    input  logic                m_axi_rvalid,
    output logic                m_axi_rready,
    output logic [5:0]          m_axi_awid,
    output logic [31:0]         m_axi_awaddr,
    output logic [3:0]          m_axi_awlen,
    output logic [2:0]          m_axi_awsize,
    output logic [1:0]          m_axi_awburst,
    output logic                m_axi_awvalid,
    input  logic                m_axi_awready,
    output logic [63:0]         m_axi_wdata,
    output logic [7:0]          m_axi_wstrb,
    output logic                m_axi_wlast,
    output logic                m_axi_wvalid,
    input  logic                m_axi_wready,
    input  logic [5:0]          m_axi_bid,
    input  logic [1:0]          m_axi_bresp,
    input  logic                m_axi_bvalid,
    output logic                m_axi_bready,
    // to the accelerator
    output logic                m_axis_tvalid,
    input  logic                m_axis_tready,
    output logic [63:0]         m_axis_tdata,
    output logic [7:0]          m_axis_tkeep,
    output logic                m_axis_tlast,
    // from the accelerator
    input  logic                s_axis_tvalid,
    output logic                s_axis_tready,
    input  logic [31:0]         s_axis_tdata,
    input  logic                s_axis_tlast
);
  localparam int Registers = 23;
  localparam int LengthBits = 26;
  localparam logic [1:0] SlaveError = 2'b10;

  // ---- registers
  logic write;
  logic [AddrBits-3:0] index;
  logic [31:0] word;
  logic [32*Registers-1:0] values;

  jp_axil #(.Registers(Registers), .AddrBits(AddrBits)) u_axil (
      .clk_i, .rst_ni,
      .awaddr_i(s_axi_awaddr), .awvalid_i(s_axi_awvalid), .awready_o(s_axi_awready),
      .wdata_i(s_axi_wdata), .wstrb_i(s_axi_wstrb), .wvalid_i(s_axi_wvalid), .wready_o(s_axi_wready),
      .bresp_o(s_axi_bresp), .bvalid_o(s_axi_bvalid), .bready_i(s_axi_bready),
      .araddr_i(s_axi_araddr), .arvalid_i(s_axi_arvalid), .arready_o(s_axi_arready),
      .rdata_o(s_axi_rdata), .rresp_o(s_axi_rresp), .rvalid_o(s_axi_rvalid), .rready_i(s_axi_rready),
      .values_i(values),
      .write_valid_o(write), .write_index_o(index), .write_data_o(word)
  );

  // control, status, address and length, of MM2S (0) and S2MM (1)
  logic [1:0] write_control, write_status, write_address, write_length;
  for (genvar c = 0; c < 2; c++) begin : g_decode
    assign write_control[c] = write && index == (AddrBits - 2)'(12 * c);
    assign write_status[c] = write && index == (AddrBits - 2)'(12 * c + 1);
    assign write_address[c] = write && index == (AddrBits - 2)'(12 * c + 6);
    assign write_length[c] = write && index == (AddrBits - 2)'(12 * c + 10);
  end

  // ---- what both channels have
  logic [1:0] run_q, idle_q, done_q, active_q, internal_q, slave_q, decode_q, halted, failed, start, bad;
  logic [1:0] finish, overrun, answer_slave, answer_decode;
  logic [63:0] address_q;
  logic [2*LengthBits-1:0] length_q, result_length;
  logic resetting_q, quiet;

  for (genvar c = 0; c < 2; c++) begin : g_channel
    assign failed[c] = internal_q[c] || slave_q[c] || decode_q[c];
    assign halted[c] = failed[c] || !run_q[c];
    assign bad[c] = word[LengthBits-1:0] == '0
                    || (address_q[32*c +: 3] & (c == 0 ? 3'b111 : 3'b011)) != '0;
    assign start[c] = write_length[c] && !halted[c] && !active_q[c] && !resetting_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni || resetting_q) begin
        {run_q[c], idle_q[c], done_q[c], active_q[c]} <= '0;
        {internal_q[c], slave_q[c], decode_q[c]} <= '0;
      end else begin
        if (write_control[c]) run_q[c] <= word[0];
        if (write_status[c] && word[12]) done_q[c] <= 1'b0;
        if (start[c]) begin
          idle_q[c] <= 1'b0;
          active_q[c] <= !bad[c];
          internal_q[c] <= bad[c];
        end
        if (finish[c]) begin
          active_q[c] <= 1'b0;
          idle_q[c] <= !overrun[c];
          done_q[c] <= !overrun[c];
          internal_q[c] <= overrun[c];
        end
        if (answer_slave[c] || answer_decode[c]) begin
          active_q[c] <= 1'b0;
          slave_q[c] <= answer_slave[c];
          decode_q[c] <= answer_decode[c];
        end
      end
      if (write_address[c]) address_q[32*c +: 32] <= word;
      if (start[c]) length_q[LengthBits*c +: LengthBits] <= word[LengthBits-1:0];
      else if (finish[c]) length_q[LengthBits*c +: LengthBits] <= result_length[LengthBits*c +: LengthBits];
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) resetting_q <= 1'b0;
    else if ((write_control[0] || write_control[1]) && word[2]) resetting_q <= 1'b1;
    else if (quiet) resetting_q <= 1'b0;
  end

  always_comb begin
    values = '0;
    for (int c = 0; c < 2; c++) begin
      values[384*c +: 32] = {29'd0, resetting_q, 1'b0, run_q[c]};
      values[384*c + 32 +: 32] = {19'd0, done_q[c], 5'd0, decode_q[c], slave_q[c], internal_q[c], 2'd0,
                                  idle_q[c], halted[c]};
      values[384*c + 192 +: 32] = address_q[32*c +: 32];
      values[384*c + 320 +: 32] = {6'd0, length_q[LengthBits*c +: LengthBits]};
    end
  end

  // ---- MM2S: read bursts, send what comes
  logic [31:0] ask_address_q;
  logic [LengthBits-3:0] ask_q, reads_q;  // beats to ask for, beats asked for that have not come
  logic [LengthBits-1:0] send_q;          // bytes to send
  logic [4:0] room, burst;
  logic ask, got, drop;

  assign m_axi_arid = '0;
  assign m_axi_arsize = 3'd3;
  assign m_axi_arburst = 2'b01;
  assign room = 5'd16 - {1'b0, ask_address_q[6:3]};
  assign burst = ask_q < (LengthBits - 2)'(room) ? ask_q[4:0] : room;
  assign ask = active_q[0] && ask_q != '0 && !m_axi_arvalid && !resetting_q;
  assign drop = resetting_q || !active_q[0];
  assign m_axi_rready = drop || m_axis_tready;
  assign got = m_axi_rvalid && m_axi_rready;
  assign m_axis_tvalid = m_axi_rvalid && !drop;
  assign m_axis_tdata = m_axi_rdata;
  assign m_axis_tlast = send_q <= LengthBits'(8);
  assign m_axis_tkeep = m_axis_tlast ? 8'(9'h1ff >> (4'd9 - send_q[3:0])) : 8'hff;
  assign finish[0] = got && !drop && m_axis_tlast && m_axi_rresp == 2'b00;
  assign overrun[0] = 1'b0;
  assign answer_slave[0] = got && !drop && m_axi_rresp == SlaveError;
  assign answer_decode[0] = got && !drop && m_axi_rresp == 2'b11;
  assign result_length[0 +: LengthBits] = length_q[0 +: LengthBits];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      m_axi_arvalid <= 1'b0;
      reads_q <= '0;
    end else begin
      if (ask) m_axi_arvalid <= 1'b1;
      else if (m_axi_arready) m_axi_arvalid <= 1'b0;
      reads_q <= reads_q + (ask ? (LengthBits - 2)'(burst) : '0) - (LengthBits - 2)'(got);
    end
    if (ask) begin
      m_axi_araddr <= ask_address_q;
      m_axi_arlen <= 4'(burst - 5'd1);
    end
    if (start[0]) begin
      ask_address_q <= address_q[31:0];
      ask_q <= (LengthBits - 2)'((word[LengthBits-1:0] + LengthBits'(7)) >> 3);
      send_q <= word[LengthBits-1:0];
    end else begin
      if (ask) begin
        ask_address_q <= ask_address_q + {24'd0, burst, 3'd0};
        ask_q <= ask_q - (LengthBits - 2)'(burst);
      end
      if (got && !drop) send_q <= send_q - LengthBits'(8);
    end
  end

  // ---- S2MM: write words as they come
  logic [31:0] put_address_q;
  logic [LengthBits-3:0] left_q;  // words that there is room for
  logic [LengthBits-1:0] received_q;
  logic [7:0] writes_q;           // words that are not answered
  logic ended_q, overrun_q, take, answered;

  assign m_axi_awid = '0;
  assign m_axi_awlen = '0;
  assign m_axi_awsize = 3'd3;
  assign m_axi_awburst = 2'b01;
  assign m_axi_wlast = 1'b1;
  assign m_axi_bready = 1'b1;
  assign s_axis_tready = active_q[1] && !ended_q && !m_axi_awvalid && !m_axi_wvalid && !resetting_q
                         && writes_q != '1;
  assign take = s_axis_tvalid && s_axis_tready;
  assign answered = m_axi_bvalid;
  assign finish[1] = active_q[1] && ended_q && writes_q == '0 && !resetting_q;
  assign overrun[1] = overrun_q;
  assign answer_slave[1] = answered && active_q[1] && m_axi_bresp == SlaveError;
  assign answer_decode[1] = answered && active_q[1] && m_axi_bresp == 2'b11;
  assign result_length[LengthBits +: LengthBits] = received_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      m_axi_awvalid <= 1'b0;
      m_axi_wvalid <= 1'b0;
      writes_q <= '0;
    end else begin
      if (take) m_axi_awvalid <= 1'b1;
      else if (m_axi_awready) m_axi_awvalid <= 1'b0;
      if (take) m_axi_wvalid <= 1'b1;
      else if (m_axi_wready) m_axi_wvalid <= 1'b0;
      writes_q <= writes_q + 8'(take) - 8'(answered);
    end
    if (take) begin
      m_axi_awaddr <= {put_address_q[31:3], 3'd0};
      m_axi_wdata <= {s_axis_tdata, s_axis_tdata};
      m_axi_wstrb <= put_address_q[2] ? 8'hf0 : 8'h0f;
    end
    if (start[1]) begin
      put_address_q <= address_q[63:32];
      left_q <= word[LengthBits-1:2];
      received_q <= '0;
      ended_q <= word[LengthBits-1:2] == '0;
      overrun_q <= 1'b0;
    end else if (take) begin
      put_address_q <= put_address_q + 32'd4;
      left_q <= left_q - 1'b1;
      received_q <= received_q + LengthBits'(4);
      ended_q <= s_axis_tlast || left_q == (LengthBits - 2)'(1);
      overrun_q <= !s_axis_tlast && left_q == (LengthBits - 2)'(1);
    end
  end

  assign quiet = !m_axi_arvalid && reads_q == '0 && !m_axi_awvalid && !m_axi_wvalid && writes_q == '0;

  // transactions have one id each, and bursts are counted
  logic unused;
  assign unused = &{1'b0, m_axi_rid, m_axi_rlast, m_axi_bid};
endmodule
