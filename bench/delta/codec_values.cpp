// SPDX-License-Identifier: Apache-2.0
// Real prices as doubles, in blocks of 256, against byte-shuffle and zstd at level 1 over the whole
// series. Ours has a checksum of 4 bytes and a length of 2 before each block, counted in its size,
// and looks at the checksum before it decodes; the peer has neither.
#include "bench/delta/benches.hpp"
#include "bench/delta/market.hpp"
#include <millrace/delta/crc32c.hpp>
#include <millrace/delta/value_codec.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#if __has_include(<zstd.h>) && defined(MILLRACE_BENCH_ZSTD)
#include <zstd.h>
#endif
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace millrace::bench {
namespace {

constexpr std::size_t header_bytes = 6;
constexpr std::size_t trial_values = 4'000'000;  ///< about as many values a trial

/// Columns begin on a cache line, as a change set's do.
template <class T>
struct line_allocator {
  using value_type = T;
  line_allocator() = default;
  template <class U>
  explicit line_allocator(line_allocator<U> const&) noexcept {}
  [[nodiscard]] T* allocate(std::size_t n) {
    return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{64}));
  }
  void deallocate(T* at, std::size_t) noexcept { ::operator delete(at, std::align_val_t{64}); }
  friend bool operator==(line_allocator, line_allocator) noexcept { return true; }
};
using column = std::vector<double, line_allocator<double>>;

/// A series, its two encodings and room to decode into.
struct prices {
  column values, decoded;
  std::vector<std::byte> blocks, encoding;
  std::size_t blocks_bytes = 0;
  std::vector<std::byte> shuffled, frame;
  std::size_t frame_bytes = 0;
  std::size_t rounds = 1;
};

[[gnu::noinline]] std::size_t encode_blocks(column const& in, std::byte* out, core::isa which) {
  std::byte* const begin = out;
  for (std::size_t at = 0; at < in.size(); at += delta::most_values) {
    auto const n =
        static_cast<std::uint32_t>(std::min<std::size_t>(in.size() - at, delta::most_values));
    std::size_t const bytes = delta::encode_values(&in[at], n, out + header_bytes, which);
    std::uint32_t const sum = delta::crc32c(out + header_bytes, bytes, 0, which);
    auto const length = static_cast<std::uint16_t>(bytes);
    std::memcpy(out, &sum, 4);
    std::memcpy(out + 4, &length, 2);
    out += header_bytes + bytes;
  }
  return static_cast<std::size_t>(out - begin);
}

[[gnu::noinline]] bool decode_blocks(std::byte const* in, column& out, core::isa which) {
  bool good = true;
  for (std::size_t at = 0; at < out.size(); at += delta::most_values) {
    auto const n =
        static_cast<std::uint32_t>(std::min<std::size_t>(out.size() - at, delta::most_values));
    std::uint32_t sum;
    std::uint16_t length;
    std::memcpy(&sum, in, 4);
    std::memcpy(&length, in + 4, 2);
    in += header_bytes;
    good = good && delta::crc32c(in, length, 0, which) == sum &&
           delta::decode_values(in, length, &out[at], n, which).has_value();
    in += length;
  }
  return good;
}

/// 16 doubles to and from 8 planes of a byte each. As bytes they are numbered in 7 bits, row and
/// column: interleaving the two halves of all turns these bits by one.
#if defined(__SSE2__)
void turn(__m128i (&rows)[8], int times) {
  for (int i = 0; i < times; ++i) {
    __m128i next[8];
    for (int k = 0; k < 4; ++k) {
      next[2 * k] = _mm_unpacklo_epi8(rows[k], rows[k + 4]);
      next[2 * k + 1] = _mm_unpackhi_epi8(rows[k], rows[k + 4]);
    }
    std::copy(next, next + 8, rows);
  }
}
#endif

[[gnu::noinline]] void shuffle(std::byte const* in, std::size_t n, std::byte* out) {
  std::size_t i = 0;
#if defined(__SSE2__)
  for (; i + 16 <= n; i += 16) {
    __m128i rows[8];
    std::memcpy(rows, in + i * 8, sizeof(rows));
    turn(rows, 4);
    for (std::size_t k = 0; k < 8; ++k) { std::memcpy(out + k * n + i, &rows[k], 16); }
  }
#endif
  for (; i < n; ++i) {
    for (std::size_t k = 0; k < 8; ++k) { out[k * n + i] = in[i * 8 + k]; }
  }
}

[[gnu::noinline]] void unshuffle(std::byte const* in, std::size_t n, std::byte* out) {
  std::size_t i = 0;
#if defined(__SSE2__)
  for (; i + 16 <= n; i += 16) {
    __m128i rows[8];
    for (std::size_t k = 0; k < 8; ++k) { std::memcpy(&rows[k], in + k * n + i, 16); }
    turn(rows, 3);
    std::memcpy(out + i * 8, rows, sizeof(rows));
  }
#endif
  for (; i < n; ++i) {
    for (std::size_t k = 0; k < 8; ++k) { out[i * 8 + k] = in[k * n + i]; }
  }
}

[[nodiscard]] std::string differs(prices const& of) {
  bool const same =
      std::memcmp(of.decoded.data(), of.values.data(), of.values.size() * sizeof(double)) == 0;
  return same ? "" : "decoded other values than were encoded";
}

/// Values a second of `work`, done over and over.
template <class Work>
[[nodiscard]] double rate(prices const& of, Work work) {
  std::int64_t const start = now_ns();
  for (std::size_t i = 0; i < of.rounds; ++i) { work(); }
  auto const ns = static_cast<double>(now_ns() - start);
  return static_cast<double>(of.rounds * of.values.size()) * 1e9 / ns;
}

using shared = std::shared_ptr<prices>;

[[nodiscard]] contender decoding(std::string name, shared of, core::isa which) {
  return guarded(std::move(name), [of, which]() -> measured {
    std::fill(of->decoded.begin(), of->decoded.end(), -1.0);
    bool good = true;
    double const found =
        rate(*of, [&] { good = decode_blocks(of->blocks.data(), of->decoded, which) && good; });
    if (!good) { return {0, "refused what it had encoded"}; }
    return {found, differs(*of)};
  });
}

[[nodiscard]] contender copying(shared of) {
  return guarded("limit.copy", [of]() -> measured {
    std::fill(of->decoded.begin(), of->decoded.end(), -1.0);
    double const found = rate(*of, [&] {
      std::memcpy(of->decoded.data(), of->values.data(), of->values.size() * sizeof(double));
      asm volatile("" ::"r"(of->decoded.data()) : "memory");
    });
    return {found, differs(*of)};
  });
}

[[nodiscard]] contender encoding(std::string name, shared of, core::isa which) {
  return guarded(std::move(name), [of, which]() -> measured {
    std::size_t bytes = 0;
    double const found =
        rate(*of, [&] { bytes = encode_blocks(of->values, of->encoding.data(), which); });
    bool const same = bytes == of->blocks_bytes &&
                      std::memcmp(of->encoding.data(), of->blocks.data(), bytes) == 0;
    return {found, same ? "" : "encoded other bytes than before"};
  });
}

[[nodiscard]] contender size_of(std::string name, std::size_t bytes) {
  return guarded(std::move(name),
                 [bytes]() -> measured { return {static_cast<double>(bytes), {}}; });
}

#if defined(MILLRACE_BENCH_ZSTD)
constexpr char const* zstd_name = "zstd.shuffle.1";

[[gnu::noinline]] std::size_t zstd_encode(ZSTD_CCtx* context, prices& of) {
  auto const* const bytes = reinterpret_cast<std::byte const*>(of.values.data());
  shuffle(bytes, of.values.size(), of.shuffled.data());
  return ZSTD_compressCCtx(context, of.frame.data(), of.frame.size(), of.shuffled.data(),
                           of.shuffled.size(), 1);
}

[[gnu::noinline]] bool zstd_decode(ZSTD_DCtx* context, prices& of) {
  std::size_t const bytes = ZSTD_decompressDCtx(context, of.shuffled.data(), of.shuffled.size(),
                                                of.frame.data(), of.frame_bytes);
  if (bytes != of.shuffled.size()) { return false; }
  unshuffle(of.shuffled.data(), of.values.size(), reinterpret_cast<std::byte*>(of.decoded.data()));
  return true;
}

struct free_contexts {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

void add_zstd(comparison& size, comparison& decode, comparison& encode, shared const& of) {
  std::shared_ptr<ZSTD_CCtx> const compress(ZSTD_createCCtx(), free_contexts{});
  std::shared_ptr<ZSTD_DCtx> const expand(ZSTD_createDCtx(), free_contexts{});
  of->shuffled.resize(of->values.size() * sizeof(double));
  of->frame.resize(ZSTD_compressBound(of->shuffled.size()));
  of->frame_bytes = zstd_encode(compress.get(), *of);
  size.peers.push_back(size_of(zstd_name, of->frame_bytes));
  decode.peers.push_back(guarded(zstd_name, [of, expand]() -> measured {
    std::fill(of->decoded.begin(), of->decoded.end(), -1.0);
    bool good = true;
    double const found = rate(*of, [&] { good = zstd_decode(expand.get(), *of) && good; });
    if (!good) { return {0, "refused what it had encoded"}; }
    return {found, differs(*of)};
  }));
  encode.peers.push_back(guarded(zstd_name, [of, compress]() -> measured {
    std::size_t bytes = 0;
    double const found = rate(*of, [&] { bytes = zstd_encode(compress.get(), *of); });
    return {found, bytes == of->frame_bytes ? "" : "encoded into other bytes than before"};
  }));
}
#else
void add_zstd(comparison&, comparison&, comparison&, shared const&) {}
#endif

void series(session& out, std::string const& name, price_series (*read)()) {
  std::string const bench = "delta.codec.f64." + name;
  if (!out.wants(bench + ".bytes") && !out.wants(bench + ".decode") &&
      !out.wants(bench + ".encode")) {
    return;
  }
  price_series found = read();
  if (!found.problem.empty()) {
    session::note(bench, "skipped: " + found.problem + " (-DMILLRACE_MARKET_DATA=folder)");
    return;
  }
  auto const of = std::make_shared<prices>();
  of->values.assign(found.values.begin(), found.values.end());
  of->decoded.resize(of->values.size());
  of->rounds = trial_values / of->values.size() + 1;
  std::size_t const blocks = of->values.size() / delta::most_values + 1;
  of->blocks.resize(blocks * (header_bytes + delta::max_value_bytes<double>(delta::most_values)));
  of->encoding.resize(of->blocks.size());
  core::isa const best = core::best_isa();
  of->blocks_bytes = encode_blocks(of->values, of->blocks.data(), best);

  comparison size{
      bench + ".bytes", "bytes", better::lower, size_of("millrace", of->blocks_bytes), {}};
  comparison decode{
      bench + ".decode", "values/s", better::higher, decoding("millrace", of, best), {}};
  comparison encode{
      bench + ".encode", "values/s", better::higher, encoding("millrace", of, best), {}};
  add_zstd(size, decode, encode, of);
  for (core::isa const narrower : {core::isa::avx2, core::isa::scalar}) {
    if (narrower >= best) { continue; }
    std::string const peer = std::string("millrace.") + core::describe(narrower);
    decode.peers.push_back(decoding(peer, of, narrower));
    encode.peers.push_back(encoding(peer, of, narrower));
  }
  decode.peers.push_back(copying(of));
  out.run(size);
  out.run(decode);
  out.run(encode);
}

}  // namespace

void value_codec_benches(session& out) {
  series(out, "sp500", sp500_prices);
  series(out, "ibm", ibm_quotes);
  series(out, "goog", goog_quotes);
}

}  // namespace millrace::bench
