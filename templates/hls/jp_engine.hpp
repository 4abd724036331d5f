// The engine: one function per process of the dataflow, each called once per frame from the process
// of that name in top.cpp.
//
//   AXI4-Stream -> align -> tokenize -> [ dispatch -> P x (fetch -> accumulate) -> merge ->
//   requantize ] ... -> logits -> AXI4-Stream
//
// Only non-zero activations travel, as tokens (value, x, channel) with a marker after each row, and
// each one touches only its non-zero weights. All numbers come from the configuration structs
// (config.hpp) and the memory images (memories.hpp); nothing is computed here that the scheduler
// has decided. Of one frame nothing is left for the next but rings of zeros.
#ifndef JP_ENGINE_HPP
#define JP_ENGINE_HPP

#include "jp_pe.hpp"
#include "jp_types.hpp"

namespace jp {

// --- input -----------------------------------------------------------------------------------

// One frame of beats to exactly Input::groups groups of 8 bytes, with the mask of those that live on
// as tokens: not zero, not under the threshold, read by some weight. Bytes with tkeep = 0, and the
// rest of a short frame, read as zero; a long frame is cut and dropped up to its tlast; the frame's
// error bit says whether any of that happened.
template <class Input>
JP_INLINE void align(hls::stream<input_beat>& in, fifo<64>& groups, fifo<8>& lives,
                     fifo<1>& errors) {
  JP_VITIS_PRAGMA(HLS inline)
  constexpr unsigned kLastBytes = 0xffu >> (8 * Input::groups - Input::frame_bytes);
  int sent = 0;
  bool last = false;
  bool wrong = false;
  while (!last || sent < Input::groups) {
    JP_VITIS_PRAGMA(HLS pipeline II=1 style=flp)
    const unsigned in_frame =
        sent >= Input::groups ? 0 : sent == Input::groups - 1 ? kLastBytes : 0xff;
    std::uint64_t group = 0;
    if (last) {
      wrong = true;  // beats are missing
    } else {
#if defined(JP_SIMULATION)
      if (in.empty()) starved("align");
#endif
      const input_word beat = unpack(in.read());
      last = beat.last;
      wrong = wrong || beat.keep != in_frame || in_frame == 0;
      for (int i = 0; i < 8; ++i) {
        JP_UNROLL
        if (bit(beat.keep & in_frame, i)) group |= beat.data & (std::uint64_t{0xff} << (8 * i));
      }
    }
    if (sent < Input::groups) {
      unsigned live = 0;
      for (int i = 0; i < 8; ++i) {
        JP_UNROLL
        const int byte = static_cast<int>((group >> (8 * i)) & 0xff);
        const int value = Input::is_signed && byte > 127 ? byte - 256 : byte;
        const bool wins = (value < 0 ? -value : value) >= Input::least;
        if (wins && bit(Input::keep[sent], i)) live |= 1u << i;
      }
      give(groups, group);
      give(lives, live);
      ++sent;
    }
  }
  give(errors, wrong);
}

// Groups to tokens: only the live bytes are sent, a marker follows each row. One token, marker or
// new group a cycle.
template <class Input>
JP_INLINE void tokenize(fifo<64>& groups, fifo<8>& lives, fifo<Input::token::width>& tokens) {
  JP_VITIS_PRAGMA(HLS inline)
  using token = typename Input::token;
  std::uint64_t data = 0;
  unsigned live = 0;  // bytes of the group that are still to be sent
  int start = -8;     // place in its row of the group's first byte, negative after a row's end
  int rows = 0;
  while (rows < Input::height) {
    JP_VITIS_PRAGMA(HLS pipeline II=1 style=flp)
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
      live = static_cast<unsigned>(take(lives));
      start += 8;
    }
  }
}

// Several readers of one tensor each get all of its tokens.
template <class Fork, class... Copies>
JP_INLINE void copy(fifo<Fork::token::width>& in, Copies&... out) {
  JP_VITIS_PRAGMA(HLS inline)
  JP_STRAY;
  for (int row = 0; row < Fork::height; ++row) {
    bool open = true;
    while (open) {
      JP_VITIS_PRAGMA(HLS pipeline II=1 style=flp)
      const std::uint64_t word = take(in);
      JP_SEE(Fork::token, word);
      (give(out, word, stray), ...);
      open = !Fork::token::marker::of(word);
    }
  }
}

// Tokens that must wait before a lane until the layer's other lanes have caught up. Elsewhere the
// FIFO itself waits; Bambu's FIFOs hold three words whatever is asked of them, so it gets a memory,
// and since it cannot look at both sides at once, a table says how many rows to accept first.
template <class Hold>
JP_INLINE void hold(fifo<Hold::token::width>& in, fifo<Hold::token::width>& out) {
  JP_VITIS_PRAGMA(HLS inline)
  using marker = typename Hold::token::marker;
  JP_STRAY;
#if defined(JP_HLS_BAMBU)
  static uint<Hold::token::width> words[Hold::words];
  std::uint32_t first = 0, next = 0;
  int taken = 0;
  for (int row = 0; row < Hold::height; ++row) {
    const int accepted = Hold::accepted[row];
    while (taken < accepted) {
      const std::uint64_t word = take(in);
      JP_SEE(Hold::token, word);
      words[next] = static_cast<uint<Hold::token::width>>(word);
      next = (next + 1) & (Hold::words - 1);
      if (marker::of(word)) ++taken;
    }
    bool open = true;
    while (open) {
      const std::uint64_t word = words[first];
      first = (first + 1) & (Hold::words - 1);
      give(out, word, stray);
      open = !marker::of(word);
    }
  }
#else
  for (int row = 0; row < Hold::height; ++row) {
    bool open = true;
    while (open) {
      JP_VITIS_PRAGMA(HLS pipeline II=1 style=flp)
      const std::uint64_t word = take(in);
      give(out, word, stray);
      open = !marker::of(word);
    }
  }
#endif
}

// --- a layer ---------------------------------------------------------------------------------

// Tokens of one lane to commands for the PEs whose column is not empty. After each input row, a
// marker for every output row that it completes goes to all PEs.
template <class Lane, class... Commands>
JP_INLINE void dispatch(fifo<Lane::token::width>& tokens, Commands&... commands) {
  JP_VITIS_PRAGMA(HLS inline)
  using token = typename Lane::token;
  using command = typename Lane::command;
  JP_STRAY;
  for (int y = 0; y < Lane::height; ++y) {
    const auto row = Lane::rows[y];
    const std::uint64_t row_term = Lane::row_term::of(row);
    const std::uint64_t row_base = Lane::row_base::of(row);
    const std::uint64_t row_cut = Lane::row_cut::of(row);
    bool open = true;
    while (open) {
      JP_VITIS_PRAGMA(HLS pipeline II=1 style=flp)
      const std::uint64_t word = take(tokens);
      JP_SEE(token, word);
      open = !token::marker::of(word);
      if (open) {
        const auto column = Lane::columns[token::x::of(word)];
        const std::uint64_t id =
            row_term + Lane::column_term::of(column) + token::channel::of(word);
        const std::uint64_t packed =
            command::value::put(token::value::of(word)) |
            command::base::put(row_base + Lane::column_base::of(column)) |
            command::left::put(Lane::column_beside_left::of(column)) |
            command::right::put(Lane::column_beside_right::of(column)) |
            command::cut::put(row_cut) | command::column::put(id + Lane::first_column);
        give_some(Lane::masks[id + row_cut * Lane::stored], packed, stray,
                  std::index_sequence_for<Commands...>{}, commands...);
      }
    }
    const int completed = static_cast<int>(Lane::row_completed::of(row));
    for (int i = 0; i < completed; ++i) {
      (give(commands, command::marker::put(1), stray), ...);
    }
  }
}

// Winners of some PEs, row by row, into one stream; one marker per row.
template <class Out, class... Winners>
JP_INLINE void merge(fifo<Out::layer::winner::width>& out, Winners&... winners) {
  JP_VITIS_PRAGMA(HLS inline)
  using winner = typename Out::layer::winner;
  constexpr int count = sizeof...(Winners);
  JP_STRAY;
  for (int row = 0; row < Out::layer::out_height; ++row) {
    streams<count> rest;
    int left = count;
    while (left > 0) {
      JP_VITIS_PRAGMA(HLS pipeline II=1 style=flp)
      std::uint64_t word = 0;
      if (!take_any<winner>(rest, word, std::index_sequence_for<Winners...>{}, winners...)) {
        starved("merge");
      } else if (winner::marker::of(word)) {
        JP_SEE(winner, word);
        --left;
      } else {
        give(out, word, stray);
      }
    }
    give(out, winner::marker::put(1), stray);
  }
}

// y = clamp((s * m + (1 << shift - 1)) >> shift, low, high), s = sum + bias, m by the sign of s; with
// a table, y is the place of the value in it.
template <class Out>
JP_INLINE void requantize(fifo<Out::layer::winner::width>& in,
                          fifo<Out::layer::output::width>& out) {
  JP_VITIS_PRAGMA(HLS inline)
  using layer = typename Out::layer;
  using winner = typename layer::winner;
  using token = typename layer::output;
  JP_STRAY;
  for (int row = 0; row < layer::out_height; ++row) {
    bool open = true;
    while (open) {
      JP_VITIS_PRAGMA(HLS pipeline II=1 style=flp)
      const std::uint64_t word = take(in);
      JP_SEE(winner, word);
      open = !winner::marker::of(word);
      if (open) {
        const auto& post = Out::post[winner::channel::of(word)];
        const sint<layer::sum_bits> sum =
            narrow<layer::sum_bits>(winner::value::of(word) + layer::bias::of(post));
        const std::uint64_t factor =
            sum < 0 ? layer::negative::of(post) : layer::multiplier::of(post);
        const std::int64_t product =
            static_cast<std::int64_t>(sum) * static_cast<std::int64_t>(factor);
        std::int64_t y = (product + (std::int64_t(1) << (layer::shift - 1))) >> layer::shift;
        if (y < layer::low) y = layer::low;
        if (y > layer::high) y = layer::high;
        if constexpr (layer::has_table) {
          y = static_cast<std::int64_t>(layer::table_value::of(layer::table[y - layer::low]));
        }
        give(out, token::value::put(y) |
                      token::x::put(winner::x::of(word)) |
                      token::channel::put(winner::channel::of(word)),
             stray);
      } else {
        give(out, token::marker::put(1), stray);
      }
    }
  }
}

// --- output ----------------------------------------------------------------------------------

// The last layer's sums plus bias, one beat per class in class order; tuser is the frame's error.
template <class Out>
JP_INLINE void logits(fifo<Out::layer::winner::width>& in, fifo<1>& errors,
                      hls::stream<output_beat>& out) {
  JP_VITIS_PRAGMA(HLS inline)
  using layer = typename Out::layer;
  using winner = typename layer::winner;
  static std::int32_t logit[layer::classes];
  bool open = true;
  while (open) {
    JP_VITIS_PRAGMA(HLS pipeline II=1 style=flp)
    const std::uint64_t word = take(in);
    open = !winner::marker::of(word);
    if (open) {
      const auto& post = Out::post[winner::channel::of(word)];
      logit[layer::class_of::of(post)] =
          static_cast<std::int32_t>(winner::value::of(word) + layer::bias::of(post));
    }
  }
  const bool error = take(errors) != 0;
  for (int k = 0; k < layer::classes; ++k) {
    JP_VITIS_PRAGMA(HLS pipeline II=1)
    out.write(pack(output_word{logit[k], k == layer::classes - 1, error}));
  }
}

}  // namespace jp

#endif  // JP_ENGINE_HPP
