// From a processor's AXI3 port to two AXI4-Lite slaves, for boards without Vivado.
//
// Contract: single 32-bit accesses, as processors make them to device memory, go to slave 1 if address
// bit 16 is set, else to slave 0, and are answered with their id. Bursts are answered SLVERR, beat by beat,
// and go nowhere. One read and one write at a time. Vectors hold slave 1 in the upper half.
module jp_bridge #(
    parameter int AddrBits = 8,
    parameter int IdBits = 12
) (
    input  logic                  clk_i,
    input  logic                  rst_ni,
    input  logic [31:0]           s_axi_awaddr,
    input  logic [IdBits-1:0]     s_axi_awid,
    input  logic [3:0]            s_axi_awlen,
    input  logic                  s_axi_awvalid,
    output logic                  s_axi_awready,
    input  logic [31:0]           s_axi_wdata,
    input  logic [3:0]            s_axi_wstrb,
    input  logic                  s_axi_wlast,
    input  logic                  s_axi_wvalid,
    output logic                  s_axi_wready,
    output logic [IdBits-1:0]     s_axi_bid,
    output logic [1:0]            s_axi_bresp,
    output logic                  s_axi_bvalid,
    input  logic                  s_axi_bready,
    input  logic [31:0]           s_axi_araddr,
    input  logic [IdBits-1:0]     s_axi_arid,
    input  logic [3:0]            s_axi_arlen,
    input  logic                  s_axi_arvalid,
    output logic                  s_axi_arready,
    output logic [IdBits-1:0]     s_axi_rid,
    output logic [31:0]           s_axi_rdata,
    output logic [1:0]            s_axi_rresp,
    output logic                  s_axi_rlast,
    output logic                  s_axi_rvalid,
    input  logic                  s_axi_rready,
    // both slaves; addresses and data are shared
    output logic [AddrBits-1:0]   awaddr_o,
    output logic [1:0]            awvalid_o,
    input  logic [1:0]            awready_i,
    output logic [31:0]           wdata_o,
    output logic [3:0]            wstrb_o,
    output logic [1:0]            wvalid_o,
    input  logic [1:0]            wready_i,
    input  logic [3:0]            bresp_i,
    input  logic [1:0]            bvalid_i,
    output logic [1:0]            bready_o,
    output logic [AddrBits-1:0]   araddr_o,
    output logic [1:0]            arvalid_o,
    input  logic [1:0]            arready_i,
    input  logic [63:0]           rdata_i,
    input  logic [3:0]            rresp_i,
    input  logic [1:0]            rvalid_i,
    output logic [1:0]            rready_o
);
  localparam logic [1:0] SlaveError = 2'b10;
  typedef enum logic [2:0] {Idle, Collect, Send, Wait, Answer} state_e;

  // a whole 64 KiB range is decoded here; beyond the slave's own address bits there is nothing
  function automatic logic is_outside(input logic [15:0] address);
    return address >> AddrBits != '0;
  endfunction

  logic unused;
  assign unused = &{1'b0, s_axi_awaddr[31:17], s_axi_araddr[31:17]};

  // ---- write
  state_e write_q;
  logic write_to_q, address_left_q, data_left_q, write_bad_q;

  assign s_axi_awready = write_q == Idle && rst_ni;
  assign s_axi_wready = write_q == Collect;
  assign s_axi_bvalid = write_q == Answer;
  assign awvalid_o = {write_to_q, !write_to_q} & {2{write_q == Send && address_left_q}};
  assign wvalid_o = {write_to_q, !write_to_q} & {2{write_q == Send && data_left_q}};
  assign bready_o = {write_to_q, !write_to_q} & {2{write_q == Wait}};

  always_ff @(posedge clk_i) begin
    case (write_q)
      Idle: if (s_axi_awvalid) begin
        write_q <= Collect;
        {write_to_q, awaddr_o} <= {s_axi_awaddr[16], s_axi_awaddr[AddrBits-1:0]};
        s_axi_bid <= s_axi_awid;
        write_bad_q <= s_axi_awlen != '0 || is_outside(s_axi_awaddr[15:0]);
      end
      Collect: if (s_axi_wvalid) begin
        {wdata_o, wstrb_o} <= {s_axi_wdata, s_axi_wstrb};
        {address_left_q, data_left_q} <= 2'b11;
        s_axi_bresp <= SlaveError;
        if (s_axi_wlast) write_q <= write_bad_q ? Answer : Send;
      end
      Send: begin
        if (awready_i[write_to_q]) address_left_q <= 1'b0;
        if (wready_i[write_to_q]) data_left_q <= 1'b0;
        if ((!address_left_q || awready_i[write_to_q]) && (!data_left_q || wready_i[write_to_q]))
          write_q <= Wait;
      end
      Wait: if (bvalid_i[write_to_q]) begin
        s_axi_bresp <= bresp_i[2*write_to_q +: 2];
        write_q <= Answer;
      end
      default: if (s_axi_bready) write_q <= Idle;
    endcase
    if (!rst_ni) write_q <= Idle;
  end

  // ---- read
  state_e read_q;
  logic read_to_q;
  logic [3:0] beats_q;

  assign s_axi_arready = read_q == Idle && rst_ni;
  assign s_axi_rvalid = read_q == Answer;
  assign s_axi_rlast = beats_q == '0;
  assign arvalid_o = {read_to_q, !read_to_q} & {2{read_q == Send}};
  assign rready_o = {read_to_q, !read_to_q} & {2{read_q == Wait}};

  always_ff @(posedge clk_i) begin
    case (read_q)
      Idle: if (s_axi_arvalid) begin
        read_q <= s_axi_arlen != '0 || is_outside(s_axi_araddr[15:0]) ? Answer : Send;
        {read_to_q, araddr_o} <= {s_axi_araddr[16], s_axi_araddr[AddrBits-1:0]};
        {s_axi_rid, beats_q} <= {s_axi_arid, s_axi_arlen};
        {s_axi_rresp, s_axi_rdata} <= {SlaveError, 32'd0};
      end
      Send: if (arready_i[read_to_q]) read_q <= Wait;
      Wait: if (rvalid_i[read_to_q]) begin
        {s_axi_rresp, s_axi_rdata} <= {rresp_i[2*read_to_q +: 2], rdata_i[32*read_to_q +: 32]};
        read_q <= Answer;
      end
      default: if (s_axi_rready) begin
        beats_q <= beats_q - 1'b1;
        if (beats_q == '0) read_q <= Idle;
      end
    endcase
    if (!rst_ni) read_q <= Idle;
  end
endmodule
