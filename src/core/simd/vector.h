// Vectors of doubles, the vocabulary every kernel is written in.
//
// One source is compiled once per instruction-set level; only the width of `Vec` changes. A kernel must
// therefore never let the width reach a result: lanes are independent, or are added in the fixed order of
// `kVirtualLanes` (fold.h) or of a block (moderate.h). Contraction is off (-ffp-contract=off): a fused multiply-add
// happens where `fma` or `mul_add` is written, and nowhere else. That is what makes the bits of AVX2,
// AVX-512 and NEON agree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#define SIGMAX_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define SIGMAX_VECTOR_BYTES 32
#else
#define SIGMAX_VECTOR_BYTES 16
#endif

#if defined(__FMA__) || defined(__aarch64__)
#define SIGMAX_HAS_FMA 1
#else
#define SIGMAX_HAS_FMA 0
#endif

#define SIGMAX_INLINE inline __attribute__((always_inline))
#ifdef __clang__
#define SIGMAX_UNROLL_ALL _Pragma("unroll")
#else
#define SIGMAX_UNROLL_ALL _Pragma("GCC unroll 32")
#endif
#if SIGMAX_VECTOR_BYTES > 16
#define SIGMAX_UNROLL SIGMAX_UNROLL_ALL
#else  // sixteen vectors of two lanes do not fit the registers
#define SIGMAX_UNROLL
#endif
#define SIGMAX_RESTRICT __restrict__
#define SIGMAX_NOINLINE __attribute__((noinline))
#define SIGMAX_COLD __attribute__((noinline, cold))  // to be small: run once per chunk of a long row, or for rare rows
#define SIGMAX_ALWAYS __attribute__((always_inline))  // behind the parameters of a lambda

namespace sigmax {
namespace {

constexpr int kLanes = SIGMAX_VECTOR_BYTES / 8;

typedef double Vec __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
typedef std::uint64_t Bits __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
typedef std::int64_t Mask __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));  // -1 where true, 0 elsewhere
typedef float Singles __attribute__((vector_size(SIGMAX_VECTOR_BYTES / 2)));  // as many lanes as Vec
typedef std::uint32_t Words __attribute__((vector_size(SIGMAX_VECTOR_BYTES / 2)));
typedef std::int32_t SignedWords __attribute__((vector_size(SIGMAX_VECTOR_BYTES / 2)));

constexpr int kCurrentRounding = 4;  // what GCC's AVX-512 operations call the mode in force

constexpr double kInfinity = __builtin_inf();
constexpr double kNaN = __builtin_nan("");
constexpr double kLargest = 0x1.fffffffffffffp1023;

template <class To, class From>
SIGMAX_INLINE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "bit_cast keeps the size");
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

template <class V>
SIGMAX_INLINE V load_vector(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}

template <class V>
SIGMAX_INLINE void store_vector(void* to, V v) {
  std::memcpy(to, &v, sizeof(v));
}

SIGMAX_INLINE Vec splat(double x) { return x - Vec{}; }
SIGMAX_INLINE Vec select(Mask mask, Vec yes, Vec no) { return mask ? yes : no; }

// The larger of two, b where one is NaN: max(x, bound) hides a NaN in x, max(bound, x) lets it through.
SIGMAX_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }
SIGMAX_INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }  // likewise

// A constant that GCC does not see through: it makes others anew in every round of a loop.
template <class V>
SIGMAX_INLINE V hidden(V v) {
#if defined(__x86_64__)
  __asm__("" : "+v"(v));
#endif
  return v;
}
// It knows `max` as one instruction only when no side is constant.
SIGMAX_INLINE Vec opaque(double x) { return hidden(splat(x)); }
SIGMAX_INLINE Vec abs(Vec x) { return bit_cast<Vec>(bit_cast<Bits>(x) & 0x7fffffffffffffffu); }
SIGMAX_INLINE Vec minus_abs(Vec x) { return bit_cast<Vec>(bit_cast<Bits>(x) | 0x8000000000000000u); }
SIGMAX_INLINE Vec only_where(Mask mask, Vec x) { return mask ? x : Vec{}; }

// Whether a lane is set. Compilers spell this out lane by lane.
template <class M>
SIGMAX_INLINE bool any(M mask) {
#if defined(__AVX512F__)
  bool set;
  __asm__("vptestmd %1, %1, %%k1\n\tkortestw %%k1, %%k1" : "=@ccnz"(set) : "v"(mask) : "k1");
  return set;
#elif defined(__AVX2__)
  bool set;
  __asm__("vptest %1, %1" : "=@ccnz"(set) : "x"(mask));
  return set;
#else
  Bits bits = bit_cast<Bits>(mask);
  std::uint64_t set = 0;
  for (int lane = 0; lane < kLanes; ++lane) set |= bits[lane];
  return set != 0;
#endif
}

// Bit k is lane k of a mask.
SIGMAX_INLINE unsigned bits_of(Mask mask) {
  unsigned bits = 0;
#if defined(__AVX512F__)
  __asm__("vpmovq2m %1, %%k1\n\tkmovb %%k1, %0" : "=r"(bits) : "v"(mask) : "k1");
#elif defined(__AVX2__)
  __asm__("vmovmskpd %1, %0" : "=r"(bits) : "x"(mask));
#else
  for (int lane = 0; lane < kLanes; ++lane) bits |= static_cast<unsigned>(mask[lane] & 1) << lane;
#endif
  return bits;
}

// a·b + c, fused where the hardware can. GCC turns a loop over std::fma into one instruction mostly, not always.
SIGMAX_INLINE Vec mul_add(Vec a, Vec b, Vec c) {
#if !SIGMAX_HAS_FMA
  return a * b + c;
#elif defined(__clang__) && __has_builtin(__builtin_elementwise_fma)
  return __builtin_elementwise_fma(a, b, c);
#elif defined(__AVX512F__) && !defined(__clang__)
  return __builtin_ia32_vfmaddpd512_mask(a, b, c, -1, kCurrentRounding);
#elif defined(__AVX2__) && !defined(__clang__)
  return __builtin_ia32_vfmaddpd256(a, b, c);
#else
  Vec r;
  for (int lane = 0; lane < kLanes; ++lane) r[lane] = __builtin_fma(a[lane], b[lane], c[lane]);
  return r;
#endif
}

SIGMAX_INLINE Vec mul_add(Vec a, Vec b, double c) { return mul_add(a, b, splat(c)); }
SIGMAX_INLINE Vec mul_add(Vec a, double b, Vec c) { return mul_add(a, splat(b), c); }

// p(x) with ascending coefficients, by Horner's rule.
template <int n>
SIGMAX_INLINE Vec polynomial(Vec x, const double (&coefficients)[n]) {
  Vec sum = splat(coefficients[n - 1]);
  SIGMAX_UNROLL_ALL for (int k = n - 2; k >= 0; --k) sum = mul_add(x, sum, coefficients[k]);
  return sum;
}

// The same by two sums, of the even and of the odd powers: half as long to wait for. At 0 it is exact too.
template <int n>
SIGMAX_INLINE Vec split_polynomial(Vec x, const double (&coefficients)[n]) {
  const Vec square = x * x;
  Vec sums[2] = {splat(coefficients[n - 1]), splat(coefficients[n - 2])};  // of the powers n - 1, n - 3, ... and n - 2, n - 4, ...
  SIGMAX_UNROLL_ALL for (int k = n - 3; k >= 0; --k) sums[(n - 1 - k) % 2] = mul_add(square, sums[(n - 1 - k) % 2], coefficients[k]);
  return mul_add(x, sums[n % 2], sums[(n - 1) % 2]);
}

// Loads and stores of the storage types, through the exact conversion to double and one rounding back.

struct Half {  // IEEE binary16, the bits of NumPy's float16
  std::uint16_t bits;
};
struct BFloat {  // bfloat16, the bits of ml_dtypes.bfloat16
  std::uint16_t bits;
};

SIGMAX_INLINE Vec widen(Singles s) {
#if defined(__GNUC__) && !defined(__clang__) && (defined(__AVX512F__) || defined(__AVX2__))
  Vec v;  // GCC 12 splits this conversion in four instructions
  __asm__("vcvtps2pd %1, %0" : "=v"(v) : "vm"(s));
  return v;
#elif defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
  Vec v;  // in two, and each waits for what was in its register before
  __asm__("cvtps2pd %1, %0" : "=x"(v) : "xm"(s));
  return v;
#else
  return __builtin_convertvector(s, Vec);
#endif
}

SIGMAX_INLINE Singles narrow(Vec v) { return __builtin_convertvector(v, Singles); }

typedef std::uint16_t Shorts __attribute__((vector_size(SIGMAX_VECTOR_BYTES / 4)));
typedef Shorts AnyShorts __attribute__((aligned(1), may_alias));  // wherever they are

SIGMAX_INLINE Words load_words(const void* from) {
  return __builtin_convertvector(load_vector<Shorts>(from), Words);
}
SIGMAX_INLINE void store_words(void* to, Words words) {
  store_vector(to, __builtin_convertvector(words, Shorts));
}

#if defined(__AVX2__)
// F16C; compilers have no portable word for it yet.
SIGMAX_INLINE Singles load_singles(const Half* from) {
  Singles s;
  __asm__("vcvtph2ps %1, %0" : "=v"(s) : "m"(*reinterpret_cast<const AnyShorts*>(from)));
  return s;
}
SIGMAX_INLINE void store_singles(Half* to, Singles s) {
  __asm__("vcvtps2ph $0, %1, %0" : "=m"(*reinterpret_cast<AnyShorts*>(to)) : "v"(s));
}
#else
// A normal half gets a float's exponent, an infinity or NaN the largest; a subnormal one is an integer times
// 2^-24. No float is subnormal on the way: that would cost a hundred cycles.
SIGMAX_INLINE Singles load_singles(const Half* from) {
  Words half = load_words(from), magnitude = half & 0x7fffu;
  Words normal = (magnitude << 13) + (112u << 23);
  Words special = bit_cast<Words>(magnitude >= 0x7c00u) & (112u << 23);
  Words subnormal = bit_cast<Words>(__builtin_convertvector(bit_cast<SignedWords>(magnitude), Singles) * 0x1p-24f);
  Words finite = magnitude < 0x0400u ? subnormal : normal + special;
  return bit_cast<Singles>(finite | ((half & 0x8000u) << 16));
}
// Ties to even: a carry out of the fraction goes to the exponent, at the end to infinity. A subnormal half is
// the low bits of its sum with 1/2, whose quantum is that of the subnormal halves.
SIGMAX_INLINE void store_singles(Half* to, Singles s) {
  Words bits = bit_cast<Words>(s), magnitude = bits & 0x7fffffffu;
  Words normal = ((magnitude + 0xfffu + ((magnitude >> 13) & 1u)) >> 13) - (112u << 10);
  Words subnormal = bit_cast<Words>(bit_cast<Singles>(magnitude) + 0.5f) - 0x3f000000u;
  Words finite = magnitude < 0x38800000u ? subnormal : normal;
  Words nan = 0x7e00u | ((magnitude >> 13) & 0x03ffu);
  Words half = magnitude < 0x47800000u ? finite : (magnitude > 0x7f800000u ? nan : Words{} + 0x7c00u);
  store_words(to, half | ((bits >> 16) & 0x8000u));
}
#endif

SIGMAX_INLINE Singles load_singles(const float* from) { return load_vector<Singles>(from); }
SIGMAX_INLINE void store_singles(float* to, Singles s) { store_vector(to, s); }

SIGMAX_INLINE Singles load_singles(const BFloat* from) {
  return bit_cast<Singles>(load_words(from) << 16);
}
SIGMAX_INLINE void store_singles(BFloat* to, Singles s) {
  Words bits = bit_cast<Words>(s);
  Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  Words nan = (bits >> 16) | 0x0040u;
  store_words(to, (bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

// x rounded once, ties to even, to `digits` binary digits and never below the quantum of `tiny`, the
// smallest normal number: adding 1.5·2^52 quanta leaves no room for the digits beyond. Too large for any of them stays so.
SIGMAX_INLINE Vec round_to(Vec x, int digits, double tiny) {
  Vec power = bit_cast<Vec>(bit_cast<Bits>(x) & 0x7ff0000000000000u);
  Vec anchor = max(power, splat(tiny)) * (1.5 * static_cast<double>(std::uint64_t{1} << (53 - digits)));
  Bits rounded = bit_cast<Bits>((x + anchor) - anchor) | (bit_cast<Bits>(x) & 0x8000000000000000u);
  return power < 0x1p900 ? bit_cast<Vec>(rounded) : x;
}

SIGMAX_INLINE Vec load(const double* from) { return load_vector<Vec>(from); }
template <class Narrow>
SIGMAX_INLINE Vec load(const Narrow* from) {
  return widen(load_singles(from));
}

SIGMAX_INLINE void store(double* to, Vec v) { store_vector(to, v); }
SIGMAX_INLINE void store(float* to, Vec v) { store_singles(to, narrow(v)); }
SIGMAX_INLINE void store(Half* to, Vec v) { store_singles(to, narrow(round_to(v, 11, 0x1p-14))); }
SIGMAX_INLINE void store(BFloat* to, Vec v) { store_singles(to, narrow(round_to(v, 8, 0x1p-126))); }

}  // namespace
}  // namespace sigmax
