// The processing element: adds jobs into a ring of accumulators, and drains finished rows.
#ifndef JP_PE_HPP
#define JP_PE_HPP

#include "jp_types.hpp"

namespace jp {

// Accumulator updates in flight inside a PE. An update is written back kWriteDelay updates after it
// was computed; the last kForwarded ones are forwarded from registers.
constexpr int kForwarded = 4;
constexpr int kWriteDelay = 2;

// Commands of all lanes up to a marker in each of them, one a cycle from any lane that has one, to
// jobs: looks up where the column's weights are.
template <class Layer, class Pointers, std::size_t... I, class... Lanes>
void fetch_row(const Pointers& pointers, fifo<Layer::job::width>& jobs, std::index_sequence<I...>,
               Lanes&... lanes) {
  using command = typename Layer::command;
  using job = typename Layer::job;
  constexpr int count = sizeof...(I);
  bool open[count];
  JP_VITIS_PRAGMA(HLS array_partition variable=open type=complete)
  int left = count;
  for (int i = 0; i < count; ++i) {
    JP_UNROLL
    open[i] = true;
  }
  while (left > 0) {
    JP_VITIS_PRAGMA(HLS pipeline II=1)
    std::uint64_t word = 0;
    int from = 0;
    // a single lane is simply waited for
    const bool taken = ((open[I] && (count == 1 || ready(lanes))
                             ? (word = take(lanes), from = static_cast<int>(I), true)
                             : false) ||
                        ...);
    if (!taken) {
      starved("fetch");
    } else if (command::marker::of(word)) {
      open[from] = false;
      --left;
    } else {
      const auto pointer = pointers[command::column::of(word)];
      give(jobs, job::value::put(command::value::of(word)) |
                     job::base::put(command::base::of(word)) |
                     job::start::put(Layer::start::of(pointer)) |
                     job::more::put(Layer::more::of(pointer)));
    }
  }
  give(jobs, job::marker::put(1));
}

// Adds the jobs of one output row into the ring, one multiply-accumulate a cycle, whatever the
// addresses are.
template <class Layer, class Weights>
void scatter(fifo<Layer::job::width>& jobs, const Weights& weights,
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
  std::uint32_t entry = 0, left = 0, base = 0;
  std::int32_t value = 0;
  bool open = true;
  while (open) {
    JP_VITIS_PRAGMA(HLS pipeline II=1)
    // The write of one pass holds the sum of kWriteDelay passes before. A read needs no sum of the
    // last kForwarded passes from memory, since it gets those from registers. So a read depends on
    // a write of kForwarded - kWriteDelay + 1 = 3 passes earlier at the nearest.
    JP_VITIS_PRAGMA(HLS dependence variable=ring type=inter direction=RAW distance=3 true)
    if (left == 0) {
      const std::uint64_t word = take(jobs);
      open = !job::marker::of(word);
      value = static_cast<std::int32_t>(job::value::of(word));
      base = static_cast<std::uint32_t>(job::base::of(word));
      entry = static_cast<std::uint32_t>(job::start::of(word));
      left = static_cast<std::uint32_t>(job::more::of(word)) + 1;
    }
    if (open) {
      const auto word = weights[entry];
      const std::int32_t product = static_cast<std::int32_t>(Layer::weight::of(word)) * value;
      const std::uint32_t address =
          (base + static_cast<std::uint32_t>(Layer::offset::of(word))) & Layer::ring_mask;
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
}

// Reads a finished row, sets it to zero, and sends the winners and a marker.
template <class Layer, class Thresholds>
void drain(std::uint32_t row_start, int first_channel, const Thresholds& thresholds,
           sint<Layer::accumulator_bits> (&ring)[Layer::ring_words],
           fifo<Layer::winner::width>& winners) {
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
                        winner::channel::put(first_channel + slot));
    }
    if (slot == Layer::slots - 1) {
      slot = 0;
      ++x;
    } else {
      ++slot;
    }
  }
  give(winners, winner::marker::put(1));
}

// A PE: column pointers, then multiply-accumulate and drain, as two processes, so that a token's
// pointer is read while the weights of the one before are used.
template <class Pe, class... Lanes>
void fetch(fifo<Pe::layer::job::width>& jobs, Lanes&... lanes) {
  for (int row = 0; row < Pe::layer::out_height; ++row) {
    fetch_row<typename Pe::layer>(Pe::pointers, jobs, std::index_sequence_for<Lanes...>{},
                                  lanes...);
  }
}

template <class Pe>
void accumulate(fifo<Pe::layer::job::width>& jobs, fifo<Pe::layer::winner::width>& winners) {
  using layer = typename Pe::layer;
  static sint<layer::accumulator_bits> ring[layer::ring_words];
  JP_VITIS_PRAGMA(HLS bind_storage variable=ring type=ram_s2p)
  static std::uint32_t row_start = 0;
  for (int row = 0; row < layer::out_height; ++row) {
    scatter<layer>(jobs, Pe::weights, ring);
    drain<layer>(row_start, Pe::index * layer::slots, Pe::thresholds, ring, winners);
    row_start = (row_start + layer::row_words) & layer::ring_mask;
  }
}

template <class Pe, class... Lanes>
void pe(fifo<Pe::layer::winner::width>& winners, Lanes&... lanes) {
  JP_PRAGMA(HLS dataflow)
  static fifo<Pe::layer::job::width> jobs;
  JP_PRAGMA(HLS stream variable=jobs depth=2)
  fetch<Pe>(jobs, lanes...);
  accumulate<Pe>(jobs, winners);
}

}  // namespace jp

#endif  // JP_PE_HPP
