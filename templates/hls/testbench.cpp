// Test bench: raw frames in, int32 logits out.
//
//   testbench IMAGES LOGITS [--lengths FILE] [--errors FILE] [--expected FILE] [--holes SEED]
//
// IMAGES    raw bytes, frame after frame
// LOGITS    written: little-endian int32, kClasses per frame
// lengths   text: length in bytes of each frame (default: all are whole frames)
// errors    written: one byte per frame, 1 where the accelerator marked it (tuser)
// expected  logits to compare with; a difference is a failure
// holes     drop random bytes: their tkeep is 0
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "top.hpp"

namespace {

struct options {
  std::string images, logits, lengths, errors, expected;
  bool has_holes = false;
  std::uint32_t seed = 0;
};

[[noreturn]] void fail(const std::string& reason) {
  std::fprintf(stderr, "error: %s\n", reason.c_str());
  std::exit(1);
}

options parse(int argc, char** argv) {
  if (argc < 3 || argc % 2 == 0) {
    fail("usage: testbench IMAGES LOGITS [--lengths FILE] [--errors FILE] [--expected FILE] "
         "[--holes SEED]");
  }
  options chosen;
  chosen.images = argv[1];
  chosen.logits = argv[2];
  for (int i = 3; i < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--lengths") {
      chosen.lengths = argv[i + 1];
    } else if (name == "--errors") {
      chosen.errors = argv[i + 1];
    } else if (name == "--expected") {
      chosen.expected = argv[i + 1];
    } else if (name == "--holes") {
      chosen.has_holes = true;
      chosen.seed = static_cast<std::uint32_t>(std::strtoul(argv[i + 1], nullptr, 10));
    } else {
      fail("unknown option " + name);
    }
  }
  return chosen;
}

std::vector<char> read(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) fail("cannot read " + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write(const std::string& name, const void* data, std::size_t bytes) {
  std::ofstream file(name, std::ios::binary);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  file.close();
  if (!file) fail("cannot write " + name);
}

std::vector<std::size_t> frame_lengths(const options& chosen, std::size_t bytes) {
  if (chosen.lengths.empty()) {
    if (bytes % kFrameBytes != 0) {
      fail(chosen.images + " holds no whole number of frames of " + std::to_string(kFrameBytes) +
           " bytes");
    }
    return std::vector<std::size_t>(bytes / kFrameBytes, kFrameBytes);
  }
  std::ifstream file(chosen.lengths);
  if (!file) fail("cannot read " + chosen.lengths);
  std::vector<std::size_t> lengths;
  std::size_t total = 0;
  for (std::size_t length = 0; file >> length; total += length) lengths.push_back(length);
  if (!file.eof() || total != bytes) {
    fail(chosen.lengths + " is not a list of lengths that add up to the size of " + chosen.images);
  }
  return lengths;
}

// Sends one frame; with holes, random bytes of a beat are dropped.
void send(hls::stream<jp::input_beat>& in, const char* bytes, std::size_t length, options& chosen) {
  std::size_t sent = 0;
  do {
    jp::input_word beat{0, 0, false};
    unsigned keep = 0xff;
    if (chosen.has_holes) {
      chosen.seed = chosen.seed * 1664525u + 1013904223u;
      keep = chosen.seed >> 24;
    }
    for (int i = 0; i < 8; ++i) {
      std::uint64_t byte = 0xa5;  // what an unused byte holds must not matter
      if (sent < length) {
        if (((keep >> i) & 1) != 0) {
          byte = static_cast<unsigned char>(bytes[sent]);
          beat.keep = static_cast<std::uint8_t>(beat.keep | (1u << i));
        }
        ++sent;
      }
      beat.data |= byte << (8 * i);
    }
    beat.last = sent == length;
    in.write(jp::pack(beat));
  } while (sent < length);
}

// Receives the logits of one frame and returns its error mark.
bool receive(hls::stream<jp::output_beat>& out, std::vector<std::int32_t>& logits) {
  bool error = false;
  for (int k = 0; k < kClasses; ++k) {
    if (out.empty()) fail("a frame has fewer logits than classes");
    const jp::output_word beat = jp::unpack(out.read());
    logits.push_back(beat.data);
    if (beat.last != (k == kClasses - 1)) fail("tlast is not on the last logit, or not alone");
    if (k > 0 && beat.user != error) fail("tuser changes within a frame");
    error = beat.user;
  }
  if (!out.empty()) fail("a frame has more logits than classes");
  return error;
}

}  // namespace

int main(int argc, char** argv) {
  options chosen = parse(argc, argv);
  const std::vector<char> bytes = read(chosen.images);
  const std::vector<std::size_t> lengths = frame_lengths(chosen, bytes.size());
  hls::stream<jp::input_beat> in("in");
  hls::stream<jp::output_beat> out("out");
  std::vector<std::int32_t> logits;
  std::vector<char> errors;
  std::size_t sent = 0, offset = 0;
  for (std::size_t frame = 0; frame < lengths.size(); ++frame) {
    // the next frame waits behind this one already: a frame must not take another's beats
    for (; sent < lengths.size() && sent < frame + 2; offset += lengths[sent++]) {
      send(in, bytes.data() + offset, lengths[sent], chosen);
    }
    jp_accelerator(in, out);
    errors.push_back(receive(out, logits) ? 1 : 0);
  }
  if (!in.empty()) fail("beats are left over after the last frame");
  write(chosen.logits, logits.data(), logits.size() * sizeof(std::int32_t));
  if (!chosen.errors.empty()) write(chosen.errors, errors.data(), errors.size());
  int marked = 0;
  for (const char error : errors) marked += error;
  std::printf("frames %zu classes %d errors %d\n", lengths.size(), kClasses, marked);
  if (!chosen.expected.empty()) {
    const std::vector<char> expected = read(chosen.expected);
    const std::size_t size = logits.size() * sizeof(std::int32_t);
    if (expected.size() != size || std::memcmp(expected.data(), logits.data(), size) != 0) {
      fail("the logits differ from " + chosen.expected);
    }
  }
  return 0;
}
