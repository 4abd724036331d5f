// Compiled test bench of a whole accelerator: sends frames, takes logits, pauses at random, reads registers.
//
// It does what the cocotb test bench does, many times faster, for designs too large for that.
// Argument: a job file of lines "key value...": frames (path), outcome (path), lengths, stall, seed,
// settle, timeout (cycles a frame may take), classes, register (name offset). The outcome is JSON.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace {

struct Job {
  std::string frames, outcome;
  std::vector<std::size_t> lengths;
  double stall = 0.0;
  unsigned seed = 1;
  std::uint64_t settle = 0, timeout = 0;
  std::vector<std::pair<std::string, std::uint32_t>> registers;

  explicit Job(const char* path) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string key;
      words >> key >> std::ws;
      if (key == "frames") std::getline(words, frames);
      if (key == "outcome") std::getline(words, outcome);
      if (key == "stall") words >> stall;
      if (key == "seed") words >> seed;
      if (key == "settle") words >> settle;
      if (key == "timeout") words >> timeout;
      if (key == "length") words >> lengths.emplace_back();
      if (key == "register") {
        auto& entry = registers.emplace_back();
        words >> entry.first >> entry.second;
      }
    }
  }
};

class Bench {
 public:
  explicit Bench(const Job& job)
      : job_(job), top_(std::make_unique<Vtop>(&context_)), rest_(job.seed), drain_(job.seed + 1) {
    std::ifstream file(job.frames, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }

  // Whether every frame came back in time.
  bool run() {
    top_->m_axis_tready = 0;
    top_->s_axi_rready = top_->s_axi_bready = 1;
    top_->aresetn = 0;
    idle(4);
    top_->aresetn = 1;
    idle(job_.settle);
    std::uint64_t last = cycle_;
    while (ends_.size() < job_.lengths.size()) {
      step();
      if (!ends_.empty() && ends_.back() > last) last = ends_.back();
      if (cycle_ - last > job_.timeout) return false;
    }
    idle(8);  // let the counters settle
    for (const auto& entry : job_.registers) values_.push_back(read(entry.second));
    return true;
  }

  void write() const {
    std::ofstream out(job_.outcome);
    out << "{\"start_cycle\": " << start_ << ", \"end_cycles\": [";
    for (std::size_t i = 0; i < ends_.size(); ++i) out << (i ? ", " : "") << ends_[i];
    out << "], \"errors\": [";
    for (std::size_t i = 0; i < errors_.size(); ++i) {
      out << (i ? ", " : "") << (errors_[i] ? "true" : "false");
    }
    out << "], \"logits\": [";
    for (std::size_t i = 0; i < logits_.size(); ++i) {
      out << (i ? ", [" : "[");
      for (std::size_t j = 0; j < logits_[i].size(); ++j) out << (j ? ", " : "") << logits_[i][j];
      out << "]";
    }
    out << "], \"registers\": {";
    for (std::size_t i = 0; i < values_.size(); ++i) {
      out << (i ? ", " : "") << '"' << job_.registers[i].first << "\": " << values_[i];
    }
    out << "}}\n";
  }

 private:
  void clock() {
    top_->aclk = 1;
    top_->eval();
    context_.timeInc(1);
    ++cycle_;
  }

  void low() {
    top_->aclk = 0;
    top_->eval();
    context_.timeInc(1);
  }

  void idle(std::uint64_t cycles) {
    top_->s_axis_tvalid = 0;
    while (cycles-- > 0) {
      low();
      clock();
    }
  }

  // One cycle of both streams. A beat that was offered stays until it is taken.
  void step() {
    if (!offering_ && frame_ < job_.lengths.size() && !pauses(rest_)) offer();
    top_->s_axis_tvalid = offering_;
    top_->m_axis_tready = !pauses(drain_);
    low();
    const bool sent = offering_ && top_->s_axis_tready;
    const bool got = top_->m_axis_tvalid && top_->m_axis_tready;
    if (sent && !started_) {
      started_ = true;
      start_ = cycle_;
    }
    if (got) take();
    if (sent) {
      offering_ = false;
      at_ += count_;
      if (at_ == job_.lengths[frame_]) {
        first_ += at_;
        at_ = 0;
        ++frame_;
      }
    }
    clock();
  }

  bool pauses(std::mt19937& generator) {
    return job_.stall > 0.0 && std::uniform_real_distribution<>()(generator) < job_.stall;
  }

  void offer() {
    const std::size_t left = job_.lengths[frame_] - at_;
    count_ = left < 8 ? left : 8;
    std::uint64_t data = 0;
    std::memcpy(&data, bytes_.data() + first_ + at_, count_);
    top_->s_axis_tdata = data;
    top_->s_axis_tkeep = static_cast<std::uint8_t>((1u << count_) - 1);
    top_->s_axis_tlast = count_ == left;
    offering_ = true;
  }

  void take() {
    if (fresh_) {
      logits_.emplace_back();
      errors_.push_back(false);
    }
    logits_.back().push_back(static_cast<std::int32_t>(top_->m_axis_tdata));
    if (top_->m_axis_tuser) errors_.back() = true;
    fresh_ = top_->m_axis_tlast;
    if (fresh_) ends_.push_back(cycle_);
  }

  std::uint32_t read(std::uint32_t address) {
    top_->s_axi_araddr = address;
    top_->s_axi_arvalid = 1;
    for (;;) {
      low();
      const bool taken = top_->s_axi_arvalid && top_->s_axi_arready;
      const bool answered = top_->s_axi_rvalid;
      const std::uint32_t data = top_->s_axi_rdata;
      clock();
      if (taken) top_->s_axi_arvalid = 0;
      if (answered) return data;
    }
  }

  const Job& job_;
  VerilatedContext context_;
  std::unique_ptr<Vtop> top_;
  std::mt19937 rest_, drain_;
  std::vector<char> bytes_;
  std::uint64_t cycle_ = 0, start_ = 0;
  std::size_t frame_ = 0, first_ = 0, at_ = 0, count_ = 0;
  bool offering_ = false, started_ = false, fresh_ = true;
  std::vector<std::vector<std::int32_t>> logits_;
  std::vector<bool> errors_;
  std::vector<std::uint64_t> ends_;
  std::vector<std::uint32_t> values_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const Job job(argv[1]);
  Bench bench(job);
  if (!bench.run()) {
    std::fprintf(stderr, "no further logits within %llu cycles\n",
                 static_cast<unsigned long long>(job.timeout));
    return 1;
  }
  bench.write();
  return 0;
}
