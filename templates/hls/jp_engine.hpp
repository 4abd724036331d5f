// The engine: one function per process of the dataflow, each called once per frame.
//
//   AXI4-Stream -> align -> tokenize -> [ dispatch -> P x pe -> merge -> requantize ] ... -> logits
//
// Only non-zero activations travel, as tokens (value, x, channel) with a marker after each row, and
// each one touches only its non-zero weights. All numbers come from the configuration structs
// (config.hpp) and the memory images (memories.hpp); nothing is computed here that the scheduler
// has decided. State that outlives a frame is static in a template that no two processes share.
#ifndef JP_ENGINE_HPP
#define JP_ENGINE_HPP

#include "jp_pe.hpp"
#include "jp_types.hpp"

namespace jp {

// --- input -----------------------------------------------------------------------------------

// One frame of beats to exactly Input::groups groups of 8 bytes. Bytes with tkeep = 0, and the rest
// of a short frame, read as zero; a long frame is cut and dropped up to its tlast; the frame's error
// bit says whether any of that happened.
template <class Input>
void align(hls::stream<input_beat>& in, fifo<64>& groups, fifo<1>& errors) {
  constexpr unsigned kLastBytes = 0xffu >> (8 * Input::groups - Input::frame_bytes);
  int sent = 0;
  bool last = false;
  bool wrong = false;
  while (!last || sent < Input::groups) {
    JP_VITIS_PRAGMA(HLS pipeline II=1)
    const unsigned in_frame =
        sent >= Input::groups ? 0 : sent == Input::groups - 1 ? kLastBytes : 0xff;
    std::uint64_t group = 0;
    if (last) {
      wrong = true;  // beats are missing
    } else {
      if (!kCompiledToHardware && in.empty()) starved("align");
      const input_word beat = unpack(in.read());
      last = beat.last;
      wrong = wrong || beat.keep != in_frame || in_frame == 0;
      for (int i = 0; i < 8; ++i) {
        JP_UNROLL
        if (bit(beat.keep & in_frame, i)) group |= beat.data & (std::uint64_t{0xff} << (8 * i));
      }
    }
    if (sent < Input::groups) {
      give(groups, group);
      ++sent;
    }
  }
  give(errors, wrong);
}

// Dense groups to tokens: bytes that are zero, under the threshold, or that no weight reads are
// skipped, a marker follows each row. One token, marker or new group a cycle.
template <class Input>
void tokenize(fifo<64>& groups, fifo<Input::token::width>& tokens) {
  using token = typename Input::token;
  std::uint64_t data = 0;
  unsigned live = 0;  // bytes of the group that are still to be sent
  int start = -8;     // place in its row of the group's first byte, negative after a row's end
  int group = 0;
  int rows = 0;
  while (rows < Input::height) {
    JP_VITIS_PRAGMA(HLS pipeline II=1)
    int next = 8;
    for (int i = 7; i >= 0; --i) {
      JP_UNROLL
      if (bit(live, i)) next = i;
    }
    const int row_end = Input::row_bytes - 1 - start;  // byte of the group that ends the row
    if (next < 8 && next <= row_end) {
      const auto place = Input::map[start + next];
      give(tokens, token::value::put(data >> (8 * next)) |
                       token::x::put(Input::map_x::of(place)) |
                       token::channel::put(Input::map_channel::of(place)));
      live &= live - 1;
    } else if (row_end < 8) {
      give(tokens, token::marker::put(1));
      start -= Input::row_bytes;
      ++rows;
    } else {
      data = take(groups);
      live = 0;
      for (int i = 0; i < 8; ++i) {
        JP_UNROLL
        const int byte = static_cast<int>((data >> (8 * i)) & 0xff);
        const int value = Input::is_signed && byte > 127 ? byte - 256 : byte;
        const bool wins = value != 0 && (value < 0 ? -value : value) >= Input::theta;
        if (wins && bit(Input::keep[group], i)) live |= 1u << i;
      }
      start += 8;
      ++group;
    }
  }
}

// Several readers of one tensor each get all of its tokens.
template <class Fork>
void fork(fifo<Fork::token::width>& in, fifo<Fork::token::width> (&out)[Fork::readers]) {
  for (int row = 0; row < Fork::height; ++row) {
    bool open = true;
    while (open) {
      JP_VITIS_PRAGMA(HLS pipeline II=1)
      const std::uint64_t word = take(in);
      for (int i = 0; i < Fork::readers; ++i) {
        JP_UNROLL
        give(out[i], word);
      }
      open = !Fork::token::marker::of(word);
    }
  }
}

// --- a layer ---------------------------------------------------------------------------------

// Tokens of one lane to commands for the PEs whose column is not empty. After each input row, a
// marker for every output row that it completes goes to all PEs.
template <class Lane>
void dispatch(fifo<Lane::token::width>& tokens,
              fifo<Lane::command::width> (&commands)[Lane::layer::pes]) {
  using token = typename Lane::token;
  using command = typename Lane::command;
  using layer = typename Lane::layer;
  static uint<layer::ring_bits> frame_start = 0;
  for (int y = 0; y < Lane::height; ++y) {
    const auto row = Lane::rows[y];
    const std::uint64_t row_term = Lane::row_term::of(row);
    const std::uint64_t row_base =
        Lane::row_base::of(row) + static_cast<std::uint64_t>(frame_start);
    bool open = true;
    while (open) {
      JP_VITIS_PRAGMA(HLS pipeline II=1)
      const std::uint64_t word = take(tokens);
      open = !token::marker::of(word);
      if (open) {
        const auto column = Lane::columns[token::x::of(word)];
        const std::uint64_t id =
            row_term + Lane::column_term::of(column) + token::channel::of(word);
        const std::uint64_t packed =
            command::value::put(token::value::of(word)) |
            command::base::put(row_base + Lane::column_base::of(column)) |
            command::column::put(id + Lane::first_column);
        const auto& mask = Lane::masks[id];
        for (int p = 0; p < layer::pes; ++p) {
          JP_UNROLL
          if (bit(mask, p)) give(commands[p], packed);
        }
      }
    }
    const int completed = static_cast<int>(Lane::row_completed::of(row));
    for (int i = 0; i < completed; ++i) {
      for (int p = 0; p < layer::pes; ++p) {
        JP_UNROLL
        give(commands[p], command::marker::put(1));
      }
    }
  }
  frame_start = (frame_start + layer::frame_step) & layer::ring_mask;
}

// Winners of all PEs, row by row, into one stream; one marker per row.
template <class Layer>
void merge(fifo<Layer::winner::width> (&winners)[Layer::pes], fifo<Layer::winner::width>& out) {
  using winner = typename Layer::winner;
  for (int row = 0; row < Layer::out_height; ++row) {
    bool open[Layer::pes];
    JP_VITIS_PRAGMA(HLS array_partition variable=open type=complete)
    for (int p = 0; p < Layer::pes; ++p) {
      JP_UNROLL
      open[p] = true;
    }
    int left = Layer::pes;
    while (left > 0) {
      JP_VITIS_PRAGMA(HLS pipeline II=1)
      bool taken = false;
      for (int p = 0; p < Layer::pes; ++p) {
        JP_UNROLL
        if (!taken && open[p] && ready(winners[p])) {
          taken = true;
          const std::uint64_t word = take(winners[p]);
          if (winner::marker::of(word)) {
            open[p] = false;
            --left;
          } else {
            give(out, word);
          }
        }
      }
      if (!taken) starved("merge");
    }
    give(out, winner::marker::put(1));
  }
}

// y = clamp((s * m + (1 << shift - 1)) >> shift, low, high), s = sum + bias, m by the sign of s.
template <class Layer>
void requantize(fifo<Layer::winner::width>& in, fifo<Layer::output::width>& out) {
  using winner = typename Layer::winner;
  using token = typename Layer::output;
  for (int row = 0; row < Layer::out_height; ++row) {
    bool open = true;
    while (open) {
      JP_VITIS_PRAGMA(HLS pipeline II=1)
      const std::uint64_t word = take(in);
      open = !winner::marker::of(word);
      if (open) {
        const auto& post = Layer::post[winner::channel::of(word)];
        const sint<Layer::sum_bits> sum =
            narrow<Layer::sum_bits>(winner::value::of(word) + Layer::bias::of(post));
        const std::uint64_t factor =
            sum < 0 ? Layer::negative::of(post) : Layer::multiplier::of(post);
        const std::int64_t product =
            static_cast<std::int64_t>(sum) * static_cast<std::int64_t>(factor);
        std::int64_t y = (product + (std::int64_t(1) << (Layer::shift - 1))) >> Layer::shift;
        if (y < Layer::low) y = Layer::low;
        if (y > Layer::high) y = Layer::high;
        give(out, token::value::put(y) |
                      token::x::put(winner::x::of(word)) |
                      token::channel::put(winner::channel::of(word)));
      } else {
        give(out, token::marker::put(1));
      }
    }
  }
}

// --- output ----------------------------------------------------------------------------------

// The last layer's sums plus bias, one beat per class in class order; tuser is the frame's error.
template <class Layer>
void logits(fifo<Layer::winner::width>& in, fifo<1>& errors, hls::stream<output_beat>& out) {
  using winner = typename Layer::winner;
  static std::int32_t logit[Layer::classes];
  bool open = true;
  while (open) {
    JP_VITIS_PRAGMA(HLS pipeline II=1)
    const std::uint64_t word = take(in);
    open = !winner::marker::of(word);
    if (open) {
      const auto& post = Layer::post[winner::channel::of(word)];
      logit[Layer::class_of::of(post)] =
          static_cast<std::int32_t>(winner::value::of(word) + Layer::bias::of(post));
    }
  }
  const bool error = take(errors) != 0;
  for (int k = 0; k < Layer::classes; ++k) {
    JP_VITIS_PRAGMA(HLS pipeline II=1)
    out.write(pack(output_word{logit[k], k == Layer::classes - 1, error}));
  }
}

}  // namespace jp

#endif  // JP_ENGINE_HPP
