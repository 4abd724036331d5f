// Types, packing, ports and pragmas of the engine: everything that differs between compilers.
//
// JP_HLS_VITIS   Vitis HLS: ap_int everywhere, ap_axiu ports, all pragmas.
// JP_HLS_BAMBU   PandA-Bambu: ap_int, packed ports, no pragmas that it refuses, no arbitration.
// neither        g++: native integers where widths allow, for fast simulation.
#ifndef JP_TYPES_HPP
#define JP_TYPES_HPP

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 sees uses of uninitialized bits in these headers' constructors; they are masked out there
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <ap_int.h>
#include <hls_stream.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#if !defined(JP_HLS_VITIS) && !defined(JP_HLS_BAMBU)
#include <cstdio>
#include <cstdlib>
#endif
#if defined(JP_HLS_VITIS)
#include <ap_axi_sdata.h>
#endif

// JP_PRAGMA is the one place where pragmas come from; JP_VITIS_PRAGMA holds those that only Vitis
// HLS takes (Bambu refuses pipeline inside a loop, s_axilite and port=return).
#if defined(JP_HLS_VITIS)
#define JP_PRAGMA(...) _Pragma(#__VA_ARGS__)
#define JP_VITIS_PRAGMA(...) JP_PRAGMA(__VA_ARGS__)
#define JP_UNROLL _Pragma("HLS unroll")
#elif defined(JP_HLS_BAMBU)
#define JP_PRAGMA(...) _Pragma(#__VA_ARGS__)
#define JP_VITIS_PRAGMA(...)
#define JP_UNROLL
#else
#define JP_PRAGMA(...)
#define JP_VITIS_PRAGMA(...)
#define JP_UNROLL
#endif

namespace jp {

// Integers of W bits. Under g++ they are the least native type that holds W bits, and `narrow`
// wraps to W bits, so that a width that is too small shows in simulation as it does in hardware.
#if defined(JP_HLS_VITIS) || defined(JP_HLS_BAMBU)
template <int W>
using uint = ap_uint<W>;
template <int W>
using sint = ap_int<W>;
#else
template <int W>
using uint = std::conditional_t<
    (W <= 8), std::uint8_t,
    std::conditional_t<(W <= 16), std::uint16_t,
                       std::conditional_t<(W <= 32), std::uint32_t, std::uint64_t>>>;
template <int W>
using sint = std::conditional_t<(W <= 32), std::int32_t, std::int64_t>;
#endif

template <int W>
inline sint<W> narrow(std::int64_t value) {
#if defined(JP_HLS_VITIS) || defined(JP_HLS_BAMBU)
  return sint<W>(value);
#else
  return static_cast<sint<W>>(static_cast<std::int64_t>(static_cast<std::uint64_t>(value)
                                                        << (64 - W)) >>
                              (64 - W));
#endif
}

// A stream of packed words. Never a stream of structs: Bambu compiles those to wrong hardware.
template <int W>
using fifo = hls::stream<ap_uint<W>>;

#if defined(JP_HLS_VITIS) || defined(JP_HLS_BAMBU)
constexpr bool kCompiledToHardware = true;
#else
constexpr bool kCompiledToHardware = false;
#endif

// Simulation stops where hardware would wait for ever.
inline void starved([[maybe_unused]] const char* process) {
#if !defined(JP_HLS_VITIS) && !defined(JP_HLS_BAMBU)
  std::fprintf(stderr, "error: %s waits for a word that nobody sends\n", process);
  std::abort();
#endif
}

template <int W>
inline std::uint64_t take(fifo<W>& from) {
  static_assert(W <= 64, "packed words have at most 64 bits");
  if (!kCompiledToHardware && from.empty()) starved("a process");
  return from.read().to_uint64();
}

template <int W>
inline void give(fifo<W>& to, std::uint64_t word) {
  static_assert(W <= 64, "packed words have at most 64 bits");
  to.write(ap_uint<W>(word));
}

// Whether a process that reads several streams may take from this one now. Bambu gets blocking
// reads in a fixed order instead: the same results, fewer words in flight.
template <int W>
inline bool ready([[maybe_unused]] fifo<W>& from) {
#if defined(JP_HLS_BAMBU)
  return true;
#else
  return !from.empty();
#endif
}

// BITS bits of a word, from bit LOW up. Words over 64 bits are arrays of 64-bit limbs.
template <int LOW, int BITS, bool SIGNED = false>
struct field {
  static_assert(BITS >= 1 && BITS < 64, "a field has 1 to 63 bits");
  static constexpr int low = LOW;
  static constexpr int bits = BITS;
  static constexpr int end = LOW + BITS;
  static constexpr std::uint64_t mask = (std::uint64_t(1) << BITS) - 1;
  using type = std::conditional_t<SIGNED, std::int64_t, std::uint64_t>;

  template <class Word>
  static type of(const Word& word) {
    static_assert(end <= 64, "the field lies outside a word");
    return extend(static_cast<std::uint64_t>(word) >> LOW);
  }
  template <class Limb, int LIMBS>
  static type of(const Limb (&word)[LIMBS]) {
    static_assert(end <= 64 * LIMBS, "the field lies outside a word");
    constexpr int first = LOW / 64, last = (end - 1) / 64, shift = LOW % 64;
    std::uint64_t value = static_cast<std::uint64_t>(word[first]) >> shift;
    if constexpr (last > first) value |= static_cast<std::uint64_t>(word[last]) << (64 - shift);
    return extend(value);
  }
  template <class Integer>
  static std::uint64_t put(Integer value) {
    static_assert(std::is_integral_v<Integer>, "fields are packed from native integers");
    static_assert(end <= 64, "the field lies outside a word");
    return (static_cast<std::uint64_t>(value) & mask) << LOW;
  }

 private:
  static type extend(std::uint64_t value) {
    if constexpr (SIGNED) {
      return static_cast<std::int64_t>(value << (64 - BITS)) >> (64 - BITS);
    } else {
      return value & mask;
    }
  }
};

// Bit `index` of a memory word.
template <class Word>
inline bool bit(const Word& word, int index) {
  return (static_cast<std::uint64_t>(word) >> index) & 1;
}
template <class Limb, int LIMBS>
inline bool bit(const Limb (&word)[LIMBS], int index) {
  return (static_cast<std::uint64_t>(word[index / 64]) >> (index % 64)) & 1;
}

// Tokens and drained winners, from the least significant bit: value, x, channel, marker.
template <int VALUE, bool SIGNED, int X, int CHANNEL>
struct token_format {
  using value = field<0, VALUE, SIGNED>;
  using x = field<value::end, X>;
  using channel = field<x::end, CHANNEL>;
  using marker = field<channel::end, 1>;
  static constexpr int width = marker::end;
};

// Dispatcher to PE: which column, into which accumulators, times which value. Values of all lanes
// are signed here.
template <int VALUE, int BASE, int COLUMN>
struct command_format {
  using value = field<0, VALUE, true>;
  using base = field<value::end, BASE>;
  using column = field<base::end, COLUMN>;
  using marker = field<column::end, 1>;
  static constexpr int width = marker::end;
};

// The same inside a PE once the column's pointer is known.
template <int VALUE, int BASE, int START, int MORE>
struct job_format {
  using value = field<0, VALUE, true>;
  using base = field<value::end, BASE>;
  using start = field<base::end, START>;
  using more = field<start::end, MORE>;
  using marker = field<more::end, 1>;
  static constexpr int width = marker::end;
};

// AXI4-Stream beats: 64 bit in (data, keep, last), 32 bit out (data, last, user).
struct input_word {
  std::uint64_t data;
  std::uint8_t keep;
  bool last;
};
struct output_word {
  std::int32_t data;
  bool last;
  bool user;
};

#if defined(JP_HLS_VITIS)
using input_beat = ap_axiu<64, 0, 0, 0>;
using output_beat = ap_axiu<32, 1, 0, 0>;

inline input_beat pack(const input_word& word) {
  input_beat beat;
  beat.data = word.data;
  beat.keep = word.keep;
  beat.strb = word.keep;
  beat.last = word.last;
  return beat;
}
inline input_word unpack(const input_beat& beat) {
  return {beat.data.to_uint64(), static_cast<std::uint8_t>(beat.keep.to_uint()), beat.last != 0};
}
inline output_beat pack(const output_word& word) {
  output_beat beat;
  beat.data = static_cast<std::uint32_t>(word.data);
  beat.keep = 0xf;
  beat.strb = 0xf;
  beat.user = word.user;
  beat.last = word.last;
  return beat;
}
inline output_word unpack(const output_beat& beat) {
  return {static_cast<std::int32_t>(beat.data.to_uint()), beat.last != 0, beat.user != 0};
}
#else
using input_beat = ap_uint<73>;
using output_beat = ap_uint<34>;

inline input_beat pack(const input_word& word) {
  const input_beat high = (static_cast<unsigned>(word.last) << 8) | word.keep;
  return (high << 64) | input_beat(word.data);
}
inline input_word unpack(const input_beat& beat) {
  const unsigned high = static_cast<unsigned>((beat >> 64).to_uint());
  return {beat.to_uint64(), static_cast<std::uint8_t>(high & 0xff), ((high >> 8) & 1) != 0};
}
inline output_beat pack(const output_word& word) {
  return (std::uint64_t(word.user) << 33) | (std::uint64_t(word.last) << 32) |
         static_cast<std::uint32_t>(word.data);
}
inline output_word unpack(const output_beat& beat) {
  const std::uint64_t word = beat.to_uint64();
  return {static_cast<std::int32_t>(word & 0xffffffff), ((word >> 32) & 1) != 0,
          ((word >> 33) & 1) != 0};
}
#endif

}  // namespace jp

#endif  // JP_TYPES_HPP
