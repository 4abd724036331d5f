// A process that is the simulated logic of a board: requests on standard input, answers on standard output.
//
// Around the Verilated shell there are an AXI4-Lite master and the two stream ends of a DMA engine; what
// the engine's registers mean is modelled by whoever sends the requests. Requests are an operation and
// two 32-bit numbers, little-endian, and bytes for 'I'; answers are 32-bit numbers:
//   R address            -> data, response        read a register
//   W address data       -> response              write a register
//   I bytes last payload ->                       queue bytes for s_axis; tlast on their last beat if last
//   S words              ->                       take at most so many words from m_axis, up to a tlast
//   X cycles             -> cycles run, beats left, sink's state, words taken
//                           run until the sink is done or so many cycles have passed
//   G                    -> n, n words            the words that were taken
//   D beats after        ->                       lose so many input beats, after so many that arrive
//   C                    ->                       stop both streams, as a DMA engine's reset does
//   Z                    ->                       reset everything, as loading the logic does
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "Vjp_board.h"
#include "verilated.h"

namespace {

enum Sink : std::uint32_t { kIdle, kActive, kDone, kFull };

struct Beat {
  std::uint64_t data;
  std::uint8_t keep;
  bool last;
};

class Board {
 public:
  Board() : top_(std::make_unique<Vjp_board>(&context_)) { reset(); }

  void reset() {
    clear();
    lose_ = keep_ = 0;
    top_->s_axi_awvalid = top_->s_axi_wvalid = top_->s_axi_arvalid = 0;
    top_->s_axi_bready = top_->s_axi_rready = 1;
    top_->s_axi_awprot = top_->s_axi_arprot = 0;
    top_->aresetn = 0;
    run(8);
    top_->aresetn = 1;
    run(4);
  }

  void clear() {
    input_.clear();
    taken_.clear();
    sink_ = kIdle;
  }

  std::uint32_t read(std::uint32_t address, std::uint32_t& data) {
    top_->s_axi_araddr = address;
    top_->s_axi_arvalid = 1;
    for (;;) {
      const bool accepted = top_->s_axi_arvalid && settled(top_->s_axi_arready);
      const bool answered = settled(top_->s_axi_rvalid);
      data = top_->s_axi_rdata;
      const std::uint32_t response = top_->s_axi_rresp;
      cycle();
      if (accepted) top_->s_axi_arvalid = 0;
      if (answered) return response;
    }
  }

  std::uint32_t write(std::uint32_t address, std::uint32_t data) {
    top_->s_axi_awaddr = address;
    top_->s_axi_wdata = data;
    top_->s_axi_wstrb = 15;
    top_->s_axi_awvalid = top_->s_axi_wvalid = 1;
    for (;;) {
      const bool address_taken = top_->s_axi_awvalid && settled(top_->s_axi_awready);
      const bool data_taken = top_->s_axi_wvalid && settled(top_->s_axi_wready);
      const bool answered = settled(top_->s_axi_bvalid);
      const std::uint32_t response = top_->s_axi_bresp;
      cycle();
      if (address_taken) top_->s_axi_awvalid = 0;
      if (data_taken) top_->s_axi_wvalid = 0;
      if (answered) return response;
    }
  }

  void queue(const std::vector<std::uint8_t>& bytes, bool last) {
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      const std::size_t count = bytes.size() - i < 8 ? bytes.size() - i : 8;
      Beat beat{0, static_cast<std::uint8_t>((1 << count) - 1), last && i + 8 >= bytes.size()};
      std::memcpy(&beat.data, bytes.data() + i, count);
      if (keep_ == 0 && lose_ > 0) {
        --lose_;
        continue;
      }
      if (keep_ > 0) --keep_;
      input_.push_back(beat);
    }
  }

  void sink(std::uint32_t words) {
    taken_.clear();
    capacity_ = words;
    sink_ = kActive;
  }

  void lose(std::uint32_t beats, std::uint32_t after) {
    lose_ = beats;
    keep_ = after;
  }

  std::uint32_t run_until_done(std::uint32_t cycles) {
    std::uint32_t count = 0;
    for (; count < cycles && sink_ != kDone && sink_ != kFull; ++count) cycle();
    return count;
  }

  std::uint32_t beats_left() const { return static_cast<std::uint32_t>(input_.size()); }
  std::uint32_t state() const { return sink_; }
  const std::vector<std::uint32_t>& words() const { return taken_; }

 private:
  void run(int cycles) {
    while (cycles-- > 0) cycle();
  }

  // an output's value in this cycle
  template <typename Signal>
  bool settled(const Signal& signal) {
    drive();
    return signal;
  }

  void drive() {
    top_->s_axis_tvalid = !input_.empty();
    if (!input_.empty()) {
      top_->s_axis_tdata = input_.front().data;
      top_->s_axis_tkeep = input_.front().keep;
      top_->s_axis_tlast = input_.front().last;
    }
    top_->m_axis_tready = sink_ == kActive;
    top_->aclk = 0;
    top_->eval();
  }

  void cycle() {
    drive();
    const bool sent = top_->s_axis_tvalid && top_->s_axis_tready;
    const bool got = top_->m_axis_tvalid && top_->m_axis_tready;
    const std::uint32_t word = top_->m_axis_tdata;
    const bool last = top_->m_axis_tlast;
    top_->aclk = 1;
    top_->eval();
    context_.timeInc(1);
    if (sent) input_.pop_front();
    if (got) {
      taken_.push_back(word);
      if (last) {
        sink_ = kDone;
      } else if (taken_.size() >= capacity_) {
        sink_ = kFull;
      }
    }
  }

  VerilatedContext context_;
  std::unique_ptr<Vjp_board> top_;
  std::deque<Beat> input_;
  std::vector<std::uint32_t> taken_;
  std::size_t capacity_ = 0;
  std::uint32_t lose_ = 0, keep_ = 0;
  Sink sink_ = kIdle;
};

void answer(std::uint32_t value) { std::fwrite(&value, sizeof value, 1, stdout); }

std::uint32_t number() {
  std::uint32_t value;
  if (std::fread(&value, sizeof value, 1, stdin) != 1) std::exit(0);
  return value;
}

}  // namespace

int main() {
  Board board;
  for (;;) {
    const int operation = std::fgetc(stdin);
    if (operation == EOF) return 0;
    const std::uint32_t a = number(), b = number();
    switch (operation) {
      case 'R': {
        std::uint32_t data;
        const std::uint32_t response = board.read(a, data);
        answer(data);
        answer(response);
        break;
      }
      case 'W': answer(board.write(a, b)); break;
      case 'I': {
        std::vector<std::uint8_t> bytes(a);
        if (a && std::fread(bytes.data(), 1, a, stdin) != a) return 0;
        board.queue(bytes, b != 0);
        break;
      }
      case 'S': board.sink(a); break;
      case 'X':
        answer(board.run_until_done(a));
        answer(board.beats_left());
        answer(board.state());
        answer(static_cast<std::uint32_t>(board.words().size()));
        break;
      case 'G':
        answer(static_cast<std::uint32_t>(board.words().size()));
        std::fwrite(board.words().data(), 4, board.words().size(), stdout);
        break;
      case 'D': board.lose(a, b); break;
      case 'C': board.clear(); break;
      case 'Z': board.reset(); break;
      default: std::fprintf(stderr, "jp_board: unknown request %d\n", operation); return 3;
    }
    std::fflush(stdout);
  }
}
