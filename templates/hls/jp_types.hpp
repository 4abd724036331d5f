// Types, packing, ports and pragmas of the engine: everything that differs between compilers.
//
// JP_HLS_VITIS   Vitis HLS: ap_int memories, ap_axiu ports, its pragmas.
// JP_HLS_BAMBU   PandA-Bambu: native memories, packed ports, everything inline in its process. Its
//                pragmas stand in top.cpp: it finds a function's pragmas by their line, so it
//                rejects those that come from a macro.
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

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#if defined(JP_HLS_VITIS)
#include <ap_axi_sdata.h>
#endif
#if !defined(JP_HLS_VITIS) && !defined(JP_HLS_BAMBU)
#define JP_SIMULATION
#include <cstdio>
#include <cstdlib>
#endif

// The one place where pragmas come from, but for Bambu's.
#if defined(JP_HLS_VITIS)
#define JP_VITIS_PRAGMA(...) _Pragma(#__VA_ARGS__)
#else
#define JP_VITIS_PRAGMA(...)
#endif
#define JP_UNROLL JP_VITIS_PRAGMA(HLS unroll)
#if defined(JP_HLS_BAMBU)
// all of a process is in its function, and its function stays one: the compiler behind Bambu would
// inline small ones into the top before Bambu sees them, and fold those of equal code into one, but
// for functions in sections of their own
#define JP_INLINE __attribute__((always_inline)) inline
#define JP_PROCESS(NAME) __attribute__((noinline, section(".jp." #NAME)))
#else
#define JP_INLINE inline
#define JP_PROCESS(NAME)
#endif

namespace jp {

// Integers of W bits. Native ones are the least type that holds W bits; `narrow` wraps to W bits, so
// that a width that is too small shows in simulation as it does in hardware.
#if defined(JP_HLS_VITIS)
template <int W>
using uint = ap_uint<W>;
template <int W>
using sint = ap_int<W>;
template <int N>
using flags = ap_uint<N>;
#else
template <int W>
using uint = std::conditional_t<
    (W <= 8), std::uint8_t,
    std::conditional_t<(W <= 16), std::uint16_t,
                       std::conditional_t<(W <= 32), std::uint32_t, std::uint64_t>>>;
template <int W>
using sint = std::conditional_t<(W <= 32), std::int32_t, std::int64_t>;
template <int N>
using flags = std::bitset<N>;
#endif

template <int W>
JP_INLINE sint<W> narrow(std::int64_t value) {
#if defined(JP_HLS_VITIS)
  return sint<W>(value);
#else
  return static_cast<sint<W>>(static_cast<std::int64_t>(static_cast<std::uint64_t>(value)
                                                        << (64 - W)) >>
                              (64 - W));
#endif
}

// A stream of packed words of W bits. Never a stream of structs: Bambu compiles those to wrong
// hardware. It also loses the bits above the last whole byte of words between 33 and 63 bits (it
// keeps them in a 64-bit memory, and loads 35 of 64 bits as 32), so its streams have 64 there.
#if defined(JP_HLS_BAMBU)
template <int W>
using fifo = hls::stream<ap_uint<(W > 32 ? 64 : W)>>;
#else
template <int W>
using fifo = hls::stream<ap_uint<W>>;
#endif

// Simulation stops where hardware would wait for ever.
JP_INLINE void starved([[maybe_unused]] const char* process) {
#if defined(JP_SIMULATION)
  std::fprintf(stderr, "error: %s waits for a word that nobody sends\n", process);
  std::abort();
#endif
}

template <int W>
JP_INLINE std::uint64_t take(hls::stream<ap_uint<W>>& from) {
  static_assert(W <= 64, "packed words have at most 64 bits");
#if defined(JP_SIMULATION)
  if (from.empty()) starved("a process");
#endif
  return from.read().to_uint64();
}

// Writes a word; `stray` is never true. Bambu puts a process' next read before its last write, and what
// must come out before anything can come in stays inside; but not if that write has a loop of its
// own, of which it cannot know that it has one pass.
template <int W>
JP_INLINE void give(hls::stream<ap_uint<W>>& to, std::uint64_t word,
                    [[maybe_unused]] const bool& stray = false) {
  static_assert(W <= 64, "packed words have at most 64 bits");
#if defined(JP_HLS_BAMBU)
  do {
    to.write(ap_uint<W>(word));
  } while (stray);
#else
  to.write(ap_uint<W>(word));
#endif
}

// A process' `stray`: whether a marker ever came with anything beside it. None does.
#if defined(JP_HLS_BAMBU)
#define JP_STRAY static bool stray = false
#define JP_SEE(WORD, word) \
  if (WORD::marker::of(word) && (word) != WORD::marker::put(1)) stray = true
#else
#define JP_STRAY constexpr bool stray = false
#define JP_SEE(WORD, word) static_cast<void>(0)
#endif

// Takes a word if there is one now. Bambu waits for one instead: a read that found nothing would
// swallow the word that comes next. So it takes from its streams in a fixed order, which changes no
// result; where that order could block for ever, `hold` makes room.
template <int W>
JP_INLINE bool poll(hls::stream<ap_uint<W>>& from, std::uint64_t& word) {
#if defined(JP_HLS_BAMBU)
  word = take(from);
  return true;
#elif defined(JP_HLS_VITIS)
  ap_uint<W> value;
  if (!from.read_nb(value)) return false;
  word = value.to_uint64();
  return true;
#else
  if (from.empty()) return false;
  word = from.read().to_uint64();
  return true;
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
  JP_INLINE static type of(const Word& word) {
    static_assert(end <= 64, "the field lies outside a word");
    return extend(static_cast<std::uint64_t>(word) >> LOW);
  }
  template <class Limb, int LIMBS>
  JP_INLINE static type of(const Limb (&word)[LIMBS]) {
    static_assert(end <= 64 * LIMBS, "the field lies outside a word");
    constexpr int first = LOW / 64, last = (end - 1) / 64, shift = LOW % 64;
    std::uint64_t value = static_cast<std::uint64_t>(word[first]) >> shift;
    if constexpr (last > first) value |= static_cast<std::uint64_t>(word[last]) << (64 - shift);
    return extend(value);
  }
  template <class Integer>
  JP_INLINE static std::uint64_t put(Integer value) {
    static_assert(std::is_integral_v<Integer>, "fields are packed from native integers");
    static_assert(end <= 64, "the field lies outside a word");
    return (static_cast<std::uint64_t>(value) & mask) << LOW;
  }

 private:
  JP_INLINE static type extend(std::uint64_t value) {
    if constexpr (SIGNED) {
      return static_cast<std::int64_t>(value << (64 - BITS)) >> (64 - BITS);
    } else {
      return value & mask;
    }
  }
};

// A field that a word does not have: zero.
template <int LOW>
struct field<LOW, 0, false> {
  static constexpr int low = LOW;
  static constexpr int bits = 0;
  static constexpr int end = LOW;
  using type = std::uint64_t;

  template <class Word>
  JP_INLINE static type of(const Word&) {
    return 0;
  }
  template <class Integer>
  JP_INLINE static std::uint64_t put(Integer) {
    return 0;
  }
};

// Bit `index` of a memory word.
template <class Word>
JP_INLINE bool bit(const Word& word, int index) {
  return (static_cast<std::uint64_t>(word) >> index) & 1;
}
template <class Limb, int LIMBS>
JP_INLINE bool bit(const Limb (&word)[LIMBS], int index) {
  return (static_cast<std::uint64_t>(word[index / 64]) >> (index % 64)) & 1;
}

// Which of N streams have not come to their marker yet. Under Bambu, which takes from them in a fixed
// order, it is how many have: an array of flags could become a memory on the one bus that all
// processes share, and two stores in one cycle spoil one another there.
template <int N>
struct streams {
#if defined(JP_HLS_BAMBU)
  int closed = 0;
  JP_INLINE bool open(int i) const { return i == closed; }
  JP_INLINE void close(int) { ++closed; }
#else
  flags<N> closed = 0;
  bool open(int i) const { return !closed[i]; }
  void close(int i) { closed[i] = true; }
#endif
};

// Takes a word from the first open stream that has one, and closes that stream if it is a marker. A
// single stream is simply waited for.
template <class Word, std::size_t... I, class... Fifos>
JP_INLINE bool take_any(streams<sizeof...(I)>& rest, std::uint64_t& word, std::index_sequence<I...>,
                        Fifos&... from) {
  JP_VITIS_PRAGMA(HLS inline)
  return ((rest.open(I) && (sizeof...(I) == 1 ? (word = take(from), true) : poll(from, word)) &&
           ((Word::marker::of(word) ? rest.close(I) : static_cast<void>(0)), true)) ||
          ...);
}

// Gives a word to the streams whose bit is set.
template <class Mask, std::size_t... I, class... Fifos>
JP_INLINE void give_some(const Mask& mask, std::uint64_t word, const bool& stray,
                         std::index_sequence<I...>, Fifos&... to) {
  JP_VITIS_PRAGMA(HLS inline)
  ((bit(mask, I) ? give(to, word, stray) : static_cast<void>(0)), ...);
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
// have one format here.
template <int VALUE, bool SIGNED, int BASE, int BESIDE, int CUT, int COLUMN>
struct command_format {
  using value = field<0, VALUE, SIGNED>;
  using base = field<value::end, BASE>;
  using left = field<base::end, BESIDE>;
  using right = field<left::end, BESIDE>;
  using cut = field<right::end, CUT>;
  using column = field<cut::end, COLUMN>;
  using marker = field<column::end, 1>;
  static constexpr int width = marker::end;
};

// The same inside a PE once the column's pointer is known.
template <int VALUE, bool SIGNED, int BASE, int BESIDE, int START, int MORE>
struct job_format {
  using value = field<0, VALUE, SIGNED>;
  using base = field<value::end, BASE>;
  using left = field<base::end, BESIDE>;
  using right = field<left::end, BESIDE>;
  using start = field<right::end, START>;
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

JP_INLINE input_beat pack(const input_word& word) {
  input_beat beat;
  beat.data = word.data;
  beat.keep = word.keep;
  beat.strb = word.keep;
  beat.last = word.last;
  return beat;
}
JP_INLINE input_word unpack(const input_beat& beat) {
  return {beat.data.to_uint64(), static_cast<std::uint8_t>(beat.keep.to_uint()), beat.last != 0};
}
JP_INLINE output_beat pack(const output_word& word) {
  output_beat beat;
  beat.data = static_cast<std::uint32_t>(word.data);
  beat.keep = 0xf;
  beat.strb = 0xf;
  beat.user = word.user;
  beat.last = word.last;
  return beat;
}
JP_INLINE output_word unpack(const output_beat& beat) {
  return {static_cast<std::int32_t>(beat.data.to_uint()), beat.last != 0, beat.user != 0};
}
#else
using input_beat = ap_uint<73>;
using output_beat = ap_uint<34>;

JP_INLINE input_beat pack(const input_word& word) {
  const input_beat high = (static_cast<unsigned>(word.last) << 8) | word.keep;
  return (high << 64) | input_beat(word.data);
}
JP_INLINE input_word unpack(const input_beat& beat) {
  const unsigned high = static_cast<unsigned>((beat >> 64).to_uint());
  return {beat.to_uint64(), static_cast<std::uint8_t>(high & 0xff), ((high >> 8) & 1) != 0};
}
JP_INLINE output_beat pack(const output_word& word) {
  return (std::uint64_t(word.user) << 33) | (std::uint64_t(word.last) << 32) |
         static_cast<std::uint32_t>(word.data);
}
JP_INLINE output_word unpack(const output_beat& beat) {
  const std::uint64_t word = beat.to_uint64();
  return {static_cast<std::int32_t>(word & 0xffffffff), ((word >> 32) & 1) != 0,
          ((word >> 33) & 1) != 0};
}
#endif

}  // namespace jp

#endif  // JP_TYPES_HPP
