"""A stand-in for an HLS compiler: a program of its name that does what one of them may do.

Where it is to give RTL, it wraps our own SystemVerilog in the ports of that compiler, so that what
follows it runs on hardware that computes.
"""

import os
import re
import sys
from pathlib import Path

PROGRAM = """\
#!{python}
import os, signal, sys, time
from pathlib import Path

log = Path({log!r})
with log.open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if "ersion" in sys.argv[1]:
    print({version!r})
    sys.exit(0)
print("compiling", os.environ["JP_STEPS"], flush=True)
mode = {mode!r}
if mode == "error":
    print("error: top.cpp:12: no such function")
    sys.exit(3)
if mode == "hang":
    time.sleep(60)
if mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
for name, text in {files!r}.items():
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
print({output!r})
"""


def install(
    folder: Path,
    program: str,
    version: str,
    mode: str = "works",
    files: dict[str, str] | None = None,
    output: str = "",
) -> Path:
    """Make FOLDER/PROGRAM; returns the file that lists the calls' arguments.

    files: what it writes into its working folder; output: what it prints at the end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "calls.txt"
    path = folder / program
    path.write_text(
        PROGRAM.format(
            python=sys.executable, log=str(log), version=version, mode=mode, files=files or {},
            output=output,
        )
    )  # fmt: skip
    path.chmod(0o755)
    return log


def own_rtl(rtl: Path, suffix: str) -> str:
    """All our SystemVerilog of a build as one text, its top called `own_accelerator`, its memory
    images beside it under another suffix."""
    text = "\n".join(path.read_text() for path in sorted(rtl.glob("*.sv")))
    text = re.sub(r"\bmodule jp_accelerator\b", "module own_accelerator", text)
    return text.replace('"mem/', '"./').replace('.mem"', f'{suffix}"')


def memories(rtl: Path, folder: str, suffix: str) -> dict[str, str]:
    """Our memory images, as files below a folder."""
    return {
        f"{folder}{path.stem}{suffix}": path.read_text() for path in sorted(rtl.glob("mem/*.mem"))
    }


TIED = """\
      .s_axi_awprot(3'b0), .s_axi_arprot(3'b0),
      .s_axi_awvalid(1'b0), .s_axi_wvalid(1'b0), .s_axi_bready(1'b1), .s_axi_arvalid(1'b0),
      .s_axi_rready(1'b1), .s_axi_awaddr('0), .s_axi_wdata('0), .s_axi_wstrb('0), .s_axi_araddr('0),
      .s_axi_awready(), .s_axi_wready(), .s_axi_bvalid(), .s_axi_bresp(), .s_axi_arready(),
      .s_axi_rvalid(), .s_axi_rdata(), .s_axi_rresp()"""

BAMBU_TOP = f"""\
module jp_accelerator(clock, reset, start_port, s_axis_TDATA, s_axis_TVALID, m_axis_TREADY,
  done_port, s_axis_TREADY, m_axis_TDATA, m_axis_TVALID);
  // IN
  input clock;
  input reset;
  input start_port;
  input [72:0] s_axis_TDATA;
  input s_axis_TVALID, m_axis_TREADY;
  // OUT
  output done_port, s_axis_TREADY, m_axis_TVALID;
  output [33:0] m_axis_TDATA;
  assign done_port = 1'b0;
  own_accelerator own (.aclk(clock), .aresetn(reset && start_port),
      .s_axis_tdata(s_axis_TDATA[63:0]), .s_axis_tkeep(s_axis_TDATA[71:64]),
      .s_axis_tlast(s_axis_TDATA[72]), .s_axis_tvalid(s_axis_TVALID),
      .s_axis_tready(s_axis_TREADY), .m_axis_tdata(m_axis_TDATA[31:0]), .m_axis_tkeep(),
      .m_axis_tlast(m_axis_TDATA[32]), .m_axis_tuser(m_axis_TDATA[33]),
      .m_axis_tvalid(m_axis_TVALID), .m_axis_tready(m_axis_TREADY),
{TIED});
endmodule
"""

VITIS_TOP = f"""\
(* CORE_GENERATION_INFO="jp_accelerator,hls_ip,{{}}" *)
module jp_accelerator (
        s_axis_TDATA, s_axis_TKEEP, s_axis_TSTRB, s_axis_TLAST, m_axis_TDATA, m_axis_TKEEP,
        m_axis_TSTRB, m_axis_TUSER, m_axis_TLAST, ap_clk, ap_rst_n, s_axis_TVALID, s_axis_TREADY,
        m_axis_TVALID, m_axis_TREADY
);
input  [63:0] s_axis_TDATA;
input  [7:0] s_axis_TKEEP;
input  [7:0] s_axis_TSTRB;
input  [0:0] s_axis_TLAST;
output  [31:0] m_axis_TDATA;
output  [3:0] m_axis_TKEEP;
output  [3:0] m_axis_TSTRB;
output  [0:0] m_axis_TUSER;
output  [0:0] m_axis_TLAST;
input   ap_clk;
input   ap_rst_n;
input   s_axis_TVALID;
output   s_axis_TREADY;
output   m_axis_TVALID;
input   m_axis_TREADY;
  assign m_axis_TSTRB = 4'hf;
  own_accelerator own (.aclk(ap_clk), .aresetn(ap_rst_n),
      .s_axis_tdata(s_axis_TDATA), .s_axis_tkeep(s_axis_TKEEP & s_axis_TSTRB),
      .s_axis_tlast(s_axis_TLAST), .s_axis_tvalid(s_axis_TVALID), .s_axis_tready(s_axis_TREADY),
      .m_axis_tdata(m_axis_TDATA), .m_axis_tkeep(m_axis_TKEEP), .m_axis_tlast(m_axis_TLAST),
      .m_axis_tuser(m_axis_TUSER), .m_axis_tvalid(m_axis_TVALID), .m_axis_tready(m_axis_TREADY),
{TIED});
endmodule
"""


def path_with(folder: Path) -> str:
    """PATH with a folder before all others."""
    return os.pathsep.join([str(folder), os.environ.get("PATH", "")])
