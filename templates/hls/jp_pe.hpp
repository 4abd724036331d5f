// The processing element: adds jobs into a ring of accumulators, and drains finished rows.
#ifndef JP_PE_HPP
#define JP_PE_HPP

#include "jp_types.hpp"

namespace jp {

// Accumulator updates in flight inside a PE. An update is written back kWriteDelay updates after it
// was computed; the last kForwarded ones are forwarded from registers.
constexpr int kForwarded = 4;
constexpr int kWriteDelay = 2;

// First half of a PE: commands of all lanes, one a cycle from any lane that has one, to jobs that
// say where the column's weights are. A row ends when every lane has sent its marker.
template <class Pe, class... Lanes>
JP_INLINE void fetch(fifo<Pe::layer::job::width>& jobs, Lanes&... lanes) {
  JP_VITIS_PRAGMA(HLS inline)
  using layer = typename Pe::layer;
  using command = typename layer::command;
  using job = typename layer::job;
  constexpr int count = sizeof...(Lanes);
  JP_STRAY;
  for (int row = 0; row < layer::out_height; ++row) {
    streams<count> rest;
    int left = count;
    while (left > 0) {
      JP_VITIS_PRAGMA(HLS pipeline II=1 style=flp)
      std::uint64_t word = 0;
      if (!take_any<command>(rest, word, std::index_sequence_for<Lanes...>{}, lanes...)) {
        starved("fetch");
      } else if (command::marker::of(word)) {
        JP_SEE(command, word);
        --left;
      } else {
        const auto pointer = Pe::pointers[command::column::of(word)];
        // entries to the first output row, or to the last one, may be left out
        const auto cut = command::cut::of(word);
        const std::uint64_t skipped = cut == 1 ? layer::first::of(pointer) : 0;
        const std::uint64_t left_out = cut == 2 ? layer::last::of(pointer) : skipped;
        give(jobs, job::value::put(command::value::of(word)) |
                       job::base::put(command::base::of(word)) |
                       job::left::put(command::left::of(word)) |
                       job::right::put(command::right::of(word)) |
                       job::start::put(layer::start::of(pointer) + skipped) |
                       job::more::put(layer::more::of(pointer) - left_out),
             stray);
      }
    }
    give(jobs, job::marker::put(1), stray);
  }
}

// Adds the jobs of one output row into the ring, one multiply-accumulate a cycle, whatever the
// addresses are. Returns the row's marker.
template <class Layer, class Weights>
JP_INLINE std::uint64_t scatter(fifo<Layer::job::width>& jobs, const Weights& weights,
                       sint<Layer::accumulator_bits> (&ring)[Layer::ring_words]) {
  JP_VITIS_PRAGMA(HLS inline)
  using job = typename Layer::job;
  // the last updates, youngest first; address ring_words is none
  std::uint32_t address_of[kForwarded];
  sint<Layer::accumulator_bits> value_of[kForwarded];
  JP_VITIS_PRAGMA(HLS array_partition variable=address_of type=complete)
  JP_VITIS_PRAGMA(HLS array_partition variable=value_of type=complete)
  for (int i = 0; i < kForwarded; ++i) {
    JP_UNROLL
    address_of[i] = Layer::ring_words;
    value_of[i] = 0;
  }
  std::uint64_t word = 0;
  std::uint32_t entry = 0, left = 0, base = 0;
  std::uint64_t beside_left = 0, beside_right = 0;  // taps that lead beside the map
  std::int32_t value = 0;
  bool open = true;
  while (open) {
    JP_VITIS_PRAGMA(HLS pipeline II=1 style=flp)
    // The write of one pass holds the sum of kWriteDelay passes before. A read needs no sum of the
    // last kForwarded passes from memory, since it gets those from registers. So a read depends on
    // a write of kForwarded - kWriteDelay + 1 = 3 passes earlier at the nearest.
    JP_VITIS_PRAGMA(HLS dependence variable=ring type=inter direction=RAW distance=3 true)
    if (left == 0) {
      word = take(jobs);
      open = !job::marker::of(word);
      value = static_cast<std::int32_t>(job::value::of(word));
      base = static_cast<std::uint32_t>(job::base::of(word));
      entry = static_cast<std::uint32_t>(job::start::of(word));
      left = static_cast<std::uint32_t>(job::more::of(word)) + 1;
      beside_left = job::left::of(word);
      beside_right = job::right::of(word);
    }
    if (open) {
      const auto weight = weights[entry];
      // a weight that leads beside the map adds nothing
      bool beside = false;
      if constexpr (Layer::tap::bits > 0) {
        const std::uint64_t tap = Layer::tap::of(weight);
        beside = tap < beside_left || tap + beside_right > 2 * Layer::most_beside;
      } else {
        beside = Layer::taps_left::of(weight) < beside_left ||
                 Layer::taps_right::of(weight) < beside_right;
      }
      const std::int32_t product =
          beside ? 0 : static_cast<std::int32_t>(Layer::weight::of(weight)) * value;
      const std::uint32_t address =
          (base + static_cast<std::uint32_t>(Layer::offset::of(weight))) & Layer::ring_mask;
      sint<Layer::accumulator_bits> sum = ring[address];
      for (int i = kForwarded - 1; i >= 0; --i) {
        JP_UNROLL
        if (address_of[i] == address) sum = value_of[i];
      }
      if (address_of[kWriteDelay - 1] != Layer::ring_words) {
        ring[address_of[kWriteDelay - 1]] = value_of[kWriteDelay - 1];
      }
      for (int i = kForwarded - 1; i > 0; --i) {
        JP_UNROLL
        address_of[i] = address_of[i - 1];
        value_of[i] = value_of[i - 1];
      }
      address_of[0] = address;
      value_of[0] = narrow<Layer::accumulator_bits>(static_cast<std::int64_t>(sum) + product);
      ++entry;
      --left;
    }
  }
  for (int i = kWriteDelay - 1; i >= 0; --i) {
    if (address_of[i] != Layer::ring_words) ring[address_of[i]] = value_of[i];
  }
  return word;
}

// Reads a finished row, sets it to zero, and sends the winners and a marker.
template <class Layer, class Thresholds>
JP_INLINE void drain(std::uint32_t row_start, int first_channel, const Thresholds& thresholds,
                     sint<Layer::accumulator_bits> (&ring)[Layer::ring_words],
                     fifo<Layer::winner::width>& winners, const bool& stray) {
  JP_VITIS_PRAGMA(HLS inline)
  using winner = typename Layer::winner;
  int slot = 0, x = 0;
  for (int i = 0; i < Layer::row_words; ++i) {
    JP_VITIS_PRAGMA(HLS pipeline II=1)
    // a row is not longer than the ring, so no two passes use the same address
    JP_VITIS_PRAGMA(HLS dependence variable=ring type=inter false)
    const std::uint32_t address = (row_start + i) & Layer::ring_mask;
    const sint<Layer::accumulator_bits> sum = ring[address];
    ring[address] = 0;
    const auto threshold = thresholds[slot];
    const std::int64_t wide = sum;
    const bool wins = wide >= Layer::keep_from::of(threshold) ||
                      (Layer::is_signed && wide <= Layer::keep_to::of(threshold));
    if (wins) {
      give(winners, winner::value::put(wide) | winner::x::put(x) |
                        winner::channel::put(first_channel + slot),
           stray);
    }
    if (slot == Layer::slots - 1) {
      slot = 0;
      ++x;
    } else {
      ++slot;
    }
  }
  give(winners, winner::marker::put(1), stray);
}

// The same with max pooling: every output is the greatest sum of its window. What lies outside the
// map does not count; a sum that no later window needs is set to zero.
template <class Layer, class Thresholds>
JP_INLINE void drain_pooled(int row, std::uint32_t corner, int first_channel,
                            const Thresholds& thresholds,
                            sint<Layer::accumulator_bits> (&ring)[Layer::ring_words],
                            fifo<Layer::winner::width>& winners, const bool& stray) {
  JP_VITIS_PRAGMA(HLS inline)
  using winner = typename Layer::winner;
  using pool = typename Layer::pool;
  const auto row_word = pool::rows[row];
  const std::uint64_t live_rows = pool::row_live::of(row_word);
  const std::uint64_t last_rows = pool::row_last::of(row_word);
  constexpr int outputs = Layer::out_width * Layer::slots * pool::window_y * pool::window_x;
  int slot = 0, x = 0, dx = 0, dy = 0;
  std::uint32_t left = corner, line = corner;  // of the window, and of its row, in slot 0
  sint<Layer::accumulator_bits> best = 0;
  bool has_best = false;
  for (int i = 0; i < outputs; ++i) {
    JP_VITIS_PRAGMA(HLS pipeline II=1)
    // a sum is set to zero in the last window that needs it
    JP_VITIS_PRAGMA(HLS dependence variable=ring type=inter false)
    const auto column = pool::columns[x];
    const bool live = bit(live_rows, dy) && bit(pool::column_live::of(column), dx);
    const bool last = bit(last_rows, dy) && bit(pool::column_last::of(column), dx);
    const std::uint32_t address = (line + dx * Layer::slots + slot) & Layer::ring_mask;
    const sint<Layer::accumulator_bits> sum = ring[address];
    if (live && last) ring[address] = 0;
    if (live && (!has_best || sum > best)) best = sum;
    has_best = has_best || live;
    const bool row_ends = dx == pool::window_x - 1;
    const bool ends = row_ends && dy == pool::window_y - 1;
    if (ends) {
      const auto threshold = thresholds[slot];
      const std::int64_t wide = best;
      const bool wins = wide >= Layer::keep_from::of(threshold) ||
                        (Layer::is_signed && wide <= Layer::keep_to::of(threshold));
      if (wins) {
        give(winners, winner::value::put(wide) | winner::x::put(x) |
                          winner::channel::put(first_channel + slot),
             stray);
      }
      has_best = false;
      if (slot == Layer::slots - 1) {
        slot = 0;
        ++x;
        left += pool::stride_x * Layer::slots;
      } else {
        ++slot;
      }
    }
    dx = row_ends ? 0 : dx + 1;
    dy = ends ? 0 : row_ends ? dy + 1 : dy;
    line = ends ? left : row_ends ? line + Layer::row_words : line;
  }
  give(winners, winner::marker::put(1), stray);
}

// Second half of a PE: multiply-accumulate and drain, row by row. The ring is all zero between
// frames, so every frame begins at its start.
template <class Pe>
JP_INLINE void accumulate(fifo<Pe::layer::job::width>& jobs,
                          fifo<Pe::layer::winner::width>& winners) {
  JP_VITIS_PRAGMA(HLS inline)
  using layer = typename Pe::layer;
  using pool = typename layer::pool;
  JP_STRAY;
  static sint<layer::accumulator_bits> ring[layer::ring_words];
  JP_VITIS_PRAGMA(HLS bind_storage variable=ring type=ram_s2p)
  std::uint32_t start = 0;
  if constexpr (!std::is_void_v<pool>) {
    start -= pool::padding_y * layer::row_words + pool::padding_x * layer::slots;
  }
  for (int row = 0; row < layer::out_height; ++row) {
    [[maybe_unused]] const std::uint64_t marker = scatter<layer>(jobs, Pe::weights, ring);
    JP_SEE(layer::job, marker);
    if constexpr (std::is_void_v<pool>) {
      drain<layer>(start, Pe::first_channel, Pe::thresholds, ring, winners, stray);
      start += layer::row_words;
    } else {
      drain_pooled<layer>(row, start, Pe::first_channel, Pe::thresholds, ring, winners, stray);
      start += pool::stride_y * layer::row_words;
    }
  }
}

}  // namespace jp

#endif  // JP_PE_HPP
