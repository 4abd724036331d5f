// Stand-ins for the two primitives of a Zynq-7000 that jp_open uses; a test bench drives gp_*, serves hp_*.
module BUFG (
    input  logic I,
    output logic O
);
  assign O = I;
endmodule

module PS7 (
    output logic [3:0]  FCLKCLK, FCLKRESETN,
    input  logic        MAXIGP0ACLK, SAXIHP0ACLK,
    output logic [31:0] MAXIGP0AWADDR, MAXIGP0WDATA, MAXIGP0ARADDR,
    output logic [11:0] MAXIGP0AWID, MAXIGP0ARID,
    output logic [3:0]  MAXIGP0AWLEN, MAXIGP0ARLEN, MAXIGP0WSTRB,
    output logic        MAXIGP0AWVALID, MAXIGP0WLAST, MAXIGP0WVALID, MAXIGP0BREADY, MAXIGP0ARVALID,
    output logic        MAXIGP0RREADY,
    input  logic        MAXIGP0AWREADY, MAXIGP0WREADY, MAXIGP0BVALID, MAXIGP0ARREADY, MAXIGP0RLAST,
    input  logic        MAXIGP0RVALID,
    input  logic [11:0] MAXIGP0BID, MAXIGP0RID,
    input  logic [1:0]  MAXIGP0BRESP, MAXIGP0RRESP,
    input  logic [31:0] MAXIGP0RDATA,
    input  logic [5:0]  SAXIHP0ARID, SAXIHP0AWID, SAXIHP0WID,
    input  logic [31:0] SAXIHP0ARADDR, SAXIHP0AWADDR,
    input  logic [3:0]  SAXIHP0ARLEN, SAXIHP0AWLEN, SAXIHP0ARCACHE, SAXIHP0AWCACHE, SAXIHP0ARQOS,
    input  logic [3:0]  SAXIHP0AWQOS,
    input  logic [1:0]  SAXIHP0ARSIZE, SAXIHP0AWSIZE, SAXIHP0ARBURST, SAXIHP0AWBURST, SAXIHP0ARLOCK,
    input  logic [1:0]  SAXIHP0AWLOCK,
    input  logic [2:0]  SAXIHP0ARPROT, SAXIHP0AWPROT,
    input  logic        SAXIHP0ARVALID, SAXIHP0AWVALID, SAXIHP0WVALID, SAXIHP0WLAST, SAXIHP0RREADY,
    input  logic        SAXIHP0BREADY, SAXIHP0RDISSUECAP1EN, SAXIHP0WRISSUECAP1EN,
    input  logic [63:0] SAXIHP0WDATA,
    input  logic [7:0]  SAXIHP0WSTRB,
    output logic        SAXIHP0ARREADY, SAXIHP0AWREADY, SAXIHP0WREADY, SAXIHP0RVALID, SAXIHP0RLAST,
    output logic        SAXIHP0BVALID,
    output logic [5:0]  SAXIHP0RID, SAXIHP0BID,
    output logic [63:0] SAXIHP0RDATA,
    output logic [1:0]  SAXIHP0RRESP, SAXIHP0BRESP
);
  logic clk, rst_n;
  assign FCLKCLK = {3'd0, clk};
  assign FCLKRESETN = {3'd0, rst_n};

  // the processor's accesses
  logic [31:0] gp_awaddr, gp_wdata, gp_araddr, gp_rdata;
  logic [11:0] gp_awid, gp_arid, gp_bid, gp_rid;
  logic [7:0] gp_awlen, gp_arlen;
  logic [2:0] gp_awsize, gp_arsize, gp_awprot, gp_arprot;
  logic [1:0] gp_awburst, gp_arburst, gp_bresp, gp_rresp;
  logic [3:0] gp_wstrb;
  logic gp_awvalid, gp_awready, gp_wlast, gp_wvalid, gp_wready, gp_bvalid, gp_bready;
  logic gp_arvalid, gp_arready, gp_rlast, gp_rvalid, gp_rready;
  assign MAXIGP0AWADDR = gp_awaddr;
  assign MAXIGP0AWID = gp_awid;
  assign MAXIGP0AWLEN = gp_awlen[3:0];
  assign MAXIGP0AWVALID = gp_awvalid;
  assign MAXIGP0WDATA = gp_wdata;
  assign MAXIGP0WSTRB = gp_wstrb;
  assign MAXIGP0WLAST = gp_wlast;
  assign MAXIGP0WVALID = gp_wvalid;
  assign MAXIGP0BREADY = gp_bready;
  assign MAXIGP0ARADDR = gp_araddr;
  assign MAXIGP0ARID = gp_arid;
  assign MAXIGP0ARLEN = gp_arlen[3:0];
  assign MAXIGP0ARVALID = gp_arvalid;
  assign MAXIGP0RREADY = gp_rready;
  assign gp_awready = MAXIGP0AWREADY;
  assign gp_wready = MAXIGP0WREADY;
  assign {gp_bid, gp_bresp, gp_bvalid} = {MAXIGP0BID, MAXIGP0BRESP, MAXIGP0BVALID};
  assign gp_arready = MAXIGP0ARREADY;
  assign {gp_rid, gp_rdata, gp_rresp} = {MAXIGP0RID, MAXIGP0RDATA, MAXIGP0RRESP};
  assign {gp_rlast, gp_rvalid} = {MAXIGP0RLAST, MAXIGP0RVALID};

  // cocotbext-axi asks for every optional signal
  logic gp_awlock, gp_arlock;
  logic [3:0] gp_awcache, gp_awqos, gp_awregion, gp_arcache, gp_arqos, gp_arregion;

  // memory
  logic [31:0] hp_araddr, hp_awaddr;
  logic [5:0] hp_arid, hp_awid, hp_rid, hp_bid;
  logic [7:0] hp_arlen, hp_awlen, hp_wstrb;
  logic [2:0] hp_arsize, hp_awsize, hp_arprot, hp_awprot;
  assign {hp_arprot, hp_awprot} = {SAXIHP0ARPROT, SAXIHP0AWPROT};
  logic [1:0] hp_arburst, hp_awburst, hp_rresp, hp_bresp;
  logic [63:0] hp_rdata, hp_wdata;
  logic hp_arvalid, hp_arready, hp_rlast, hp_rvalid, hp_rready;
  logic hp_awvalid, hp_awready, hp_wlast, hp_wvalid, hp_wready, hp_bvalid, hp_bready;
  assign {hp_arid, hp_araddr, hp_arlen} = {SAXIHP0ARID, SAXIHP0ARADDR, 4'd0, SAXIHP0ARLEN};
  assign {hp_arsize, hp_arburst, hp_arvalid} = {1'b0, SAXIHP0ARSIZE, SAXIHP0ARBURST, SAXIHP0ARVALID};
  assign hp_rready = SAXIHP0RREADY;
  assign {hp_awid, hp_awaddr, hp_awlen} = {SAXIHP0AWID, SAXIHP0AWADDR, 4'd0, SAXIHP0AWLEN};
  assign {hp_awsize, hp_awburst, hp_awvalid} = {1'b0, SAXIHP0AWSIZE, SAXIHP0AWBURST, SAXIHP0AWVALID};
  assign {hp_wdata, hp_wstrb} = {SAXIHP0WDATA, SAXIHP0WSTRB};
  assign {hp_wlast, hp_wvalid} = {SAXIHP0WLAST, SAXIHP0WVALID};
  assign hp_bready = SAXIHP0BREADY;
  assign SAXIHP0ARREADY = hp_arready;
  assign SAXIHP0AWREADY = hp_awready;
  assign SAXIHP0WREADY = hp_wready;
  assign {SAXIHP0RID, SAXIHP0RDATA, SAXIHP0RRESP} = {hp_rid, hp_rdata, hp_rresp};
  assign {SAXIHP0RLAST, SAXIHP0RVALID} = {hp_rlast, hp_rvalid};
  assign {SAXIHP0BID, SAXIHP0BRESP, SAXIHP0BVALID} = {hp_bid, hp_bresp, hp_bvalid};

  // cocotbext-axi asks for every optional signal
  logic hp_awlock, hp_arlock;
  logic [3:0] hp_awcache, hp_awqos, hp_awregion, hp_arcache, hp_arqos, hp_arregion;
  assign {hp_awlock, hp_arlock, hp_awqos, hp_arqos, hp_awregion, hp_arregion} = '0;
  assign {hp_awcache, hp_arcache} = {SAXIHP0AWCACHE, SAXIHP0ARCACHE};

  // signals that AXI3 has no pins for are used here, or a simulator would drop them
  wire [39:0] unused = {gp_awlock, gp_arlock, gp_awcache, gp_awqos, gp_awregion, gp_arcache, gp_arqos,
                        gp_arregion, gp_awprot, gp_arprot, gp_awburst, gp_arburst, 4'd0};
  always @(posedge MAXIGP0ACLK)
    if (rst_n && gp_awvalid && gp_awsize + gp_arsize > 3'd4) $fatal(1, "more than 32 bits, %h", unused);

  // what the memory port is promised
  always @(posedge SAXIHP0ACLK) if (rst_n) begin
    if (hp_arvalid && {1'b0, hp_araddr[6:3]} + {1'b0, hp_arlen[3:0]} > 5'd15)
      $fatal(1, "a burst crosses 128 bytes");
    if (hp_arvalid && hp_araddr[2:0] != '0) $fatal(1, "an unaligned burst");
  end
endmodule
