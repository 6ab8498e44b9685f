// SPDX-License-Identifier: Apache-2.0
// Keys whose gaps are geometric with a mean of 10, as whole runs: header, checksums and footer
// included, all checked in the decoder's time. StreamVByte's delta codec has none of them. Every
// contender reads and writes the same 64-byte aligned columns.
#include "bench/delta/benches.hpp"
#include "bench/delta/inputs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/encode_run.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#if defined(MILLRACE_BENCH_STREAMVBYTE)
#include <streamvbyte.h>
#include <streamvbytedelta.h>
#endif

namespace millrace::bench {
namespace {

constexpr std::size_t key_count = 1'000'000;
constexpr std::size_t rounds_of_trial = 4;

template <class K>
struct key_columns {
  delta::change_set<K> keys = touched<K>(key_count), decoded = touched<K>(key_count);
  std::vector<std::byte> run, other;
  std::size_t run_bytes = 0;

  key_columns() {
    core::splitmix_rng chance(1);
    K key = 0;
    for (std::size_t i = 0; i < key_count; ++i) {
      double const u = (static_cast<double>(chance.next() >> 11) + 1) * 0x1p-53;
      key = static_cast<K>(key + 1 + static_cast<K>(std::log(u) / std::log(0.9)));
      keys.space().put(i, key);
    }
    keys.set_size(key_count);
    run.resize(delta::max_encoded_bytes<K>(key_count));
    other.resize(run.size());
    run_bytes = encode(run, core::best_isa());
  }
  [[gnu::noinline]] std::size_t encode(std::vector<std::byte>& to, core::isa which) const {
    auto const done =
        delta::encode(keys.ref(), cuda::std::span<std::byte>(to.data(), to.size()), which);
    return done ? *done : 0;
  }
  [[gnu::noinline]] bool decode(core::isa which) const {
    cuda::std::span<std::byte const> const from(run.data(), run_bytes);
    return delta::decode(from, decoded.space(), which) == key_count;
  }
  /// Nothing of an earlier trial is taken for a result.
  void forget() const { std::memset(decoded.space().keys(), 0, key_count * sizeof(K)); }
  [[nodiscard]] std::string differs() const {
    bool const same =
        std::memcmp(decoded.space().keys(), keys.space().keys(), key_count * sizeof(K)) == 0;
    return same ? "" : "decoded other keys than were encoded";
  }
};

template <class K>
using shared = std::shared_ptr<key_columns<K>>;

/// Keys a second of `work`, done over and over.
template <class Work>
[[nodiscard]] double rate(Work work) {
  std::int64_t const start = now_ns();
  for (std::size_t i = 0; i < rounds_of_trial; ++i) { work(); }
  auto const ns = static_cast<double>(now_ns() - start);
  return static_cast<double>(rounds_of_trial * key_count) * 1e9 / ns;
}

template <class K>
[[nodiscard]] contender decoding(std::string name, shared<K> of, core::isa which) {
  return guarded(std::move(name), [of, which]() -> measured {
    of->forget();
    bool good = true;
    double const found = rate([&] { good = of->decode(which) && good; });
    return {found, good ? of->differs() : "refused what it had encoded"};
  });
}
template <class K>
[[nodiscard]] contender encoding(std::string name, shared<K> of, core::isa which) {
  return guarded(std::move(name), [of, which]() -> measured {
    std::size_t bytes = 0;
    double const found = rate([&] { bytes = of->encode(of->other, which); });
    bool const same =
        bytes == of->run_bytes && std::memcmp(of->other.data(), of->run.data(), bytes) == 0;
    return {found, same ? "" : "encoded other bytes than before"};
  });
}
template <class K>
[[nodiscard]] contender copying(shared<K> of) {
  return guarded("limit.copy", [of]() -> measured {
    of->forget();
    double const found = rate([&] {
      std::memcpy(of->decoded.space().keys(), of->keys.space().keys(), key_count * sizeof(K));
      asm volatile("" ::"r"(of->decoded.space().keys()) : "memory");
    });
    return {found, of->differs()};
  });
}

/// StreamVByte's delta codec, from one of its builds.
struct streamvbyte {
  std::string name;
  std::size_t (*encode)(std::uint32_t const*, std::uint32_t, std::uint8_t*,
                        std::uint32_t) = nullptr;
  std::size_t (*decode)(std::uint8_t const*, std::uint32_t*, std::uint32_t,
                        std::uint32_t) = nullptr;
};

[[nodiscard]] std::vector<streamvbyte> streamvbyte_builds() {
  std::vector<streamvbyte> all;
#if defined(MILLRACE_BENCH_STREAMVBYTE)
  all.push_back({"streamvbyte.native", streamvbyte_delta_encode, streamvbyte_delta_decode});
#endif
  // Opened, not linked: its functions have the names of the build above.
  void* const library = ::dlopen("libstreamvbyte.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library != nullptr) {
    streamvbyte debian{"streamvbyte.debian", nullptr, nullptr};
    debian.encode =
        reinterpret_cast<decltype(debian.encode)>(::dlsym(library, "streamvbyte_delta_encode"));
    debian.decode =
        reinterpret_cast<decltype(debian.decode)>(::dlsym(library, "streamvbyte_delta_decode"));
    if (debian.encode != nullptr && debian.decode != nullptr) { all.push_back(debian); }
  }
  return all;
}

void add_streamvbyte(comparison& bits, comparison& decode, comparison& encode,
                     shared<std::uint32_t> const& of) {
  for (streamvbyte const& each : streamvbyte_builds()) {
    // Its decoder may read 16 bytes behind the stream.
    auto const stream = std::make_shared<std::vector<std::uint8_t>>(key_count * 5 + 64);
    auto const count = static_cast<std::uint32_t>(key_count);
    auto const once = [each, of, stream, count] {
      return each.encode(of->keys.space().keys(), count, stream->data(), 0);
    };
    std::size_t const bytes = once();
    bits.peers.push_back(guarded(each.name, [bytes]() -> measured {
      return {8.0 * static_cast<double>(bytes) / key_count, {}};
    }));
    decode.peers.push_back(guarded(each.name, [each, of, stream, count, bytes]() -> measured {
      of->forget();
      std::size_t read = 0;
      double const found =
          rate([&] { read = each.decode(stream->data(), of->decoded.space().keys(), count, 0); });
      return {found, read == bytes ? of->differs() : "read another length than was written"};
    }));
    encode.peers.push_back(guarded(each.name, [once, bytes]() -> measured {
      std::size_t written = 0;
      double const found = rate([&] { written = once(); });
      return {found, written == bytes ? "" : "encoded into other bytes than before"};
    }));
  }
}
void add_streamvbyte(comparison&, comparison&, comparison&, shared<std::uint64_t> const&) {}

template <class K>
void keys_of(session& out, std::string const& type) {
  std::string const bench = "delta.codec.keys.";
  comparison bits{bench + "bits." + type, "bits/key", better::lower, {}, {}};
  comparison decode{bench + "decode." + type, "keys/s", better::higher, {}, {}};
  comparison encode{bench + "encode." + type, "keys/s", better::higher, {}, {}};
  bool const wanted = out.wants(bits.bench) | out.wants(decode.bench) | out.wants(encode.bench);
  if (!wanted) { return; }
  auto const of = std::make_shared<key_columns<K>>();
  core::isa const best = core::best_isa();
  bits.ours = guarded("millrace", [of]() -> measured {
    return {8.0 * static_cast<double>(of->run_bytes) / key_count, {}};
  });
  decode.ours = decoding<K>("millrace", of, best);
  encode.ours = encoding<K>("millrace", of, best);
  add_streamvbyte(bits, decode, encode, of);
  for (core::isa const narrower : {core::isa::avx2, core::isa::scalar}) {
    if (narrower >= best) { continue; }
    std::string const peer = std::string("millrace.") + core::describe(narrower);
    decode.peers.push_back(decoding<K>(peer, of, narrower));
    encode.peers.push_back(encoding<K>(peer, of, narrower));
  }
  decode.peers.push_back(copying<K>(of));
  encode.peers.push_back(copying<K>(of));
  out.run(bits);
  out.run(decode);
  out.run(encode);
}

}  // namespace

void key_codec_benches(session& out) {
  keys_of<std::uint32_t>(out, "u32");
  keys_of<std::uint64_t>(out, "u64");
}

}  // namespace millrace::bench
