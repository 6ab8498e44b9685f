// SPDX-License-Identifier: Apache-2.0
// A libFuzzer target: whatever the bytes of a run are, a reader neither crashes nor reads beyond
// them nor gives other rows than were written. An input is one byte, which says what is done, and
// more: bytes of a run, as they are or with right checksums, rows to be written, or keys.
#include "unit/delta/encoded_runs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/read_run.hpp>
#include <millrace/delta/validate.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

using namespace millrace_test;
using millrace::core::isa;
using millrace::core::splitmix_rng;
using millrace::delta::block_rows;
using millrace::delta::change_set;
using millrace::delta::change_set_ref;
namespace core = millrace::core;
namespace delta = millrace::delta;
using bytes_of = cuda::std::span<std::byte const>;

enum class task : std::uint8_t { read, read_sealed, write, validate };

void expect(bool good, char const* what) {
  if (good) { return; }
  std::fprintf(stderr, "wrong: %s\n", what);
  std::abort();
}

/// Makes the checksums right, so that what they cover reaches the decoders.
void seal(exact_bytes const& run) {
  using delta::detail::load;
  using delta::detail::store;
  if (run.size() < delta::detail::header_begin_bytes) { return; }
  std::size_t const begin = 24 + 4 * std::size_t{load<std::uint16_t>(&run[18])};
  if (run.size() < begin + 8) { return; }
  store(&run[begin - 4], delta::crc32c(&run[0], begin - 4));
  std::size_t const end = run.size() - 8;
  if (run[6] == std::byte{1}) {
    if (end % 4 == 0) { store(&run[end], delta::crc32c(&run[begin], end - begin)); }
    return;
  }
  for (std::size_t at = begin; at + 8 <= run.size();) {
    std::size_t const words = load<std::uint16_t>(&run[at + 4]);
    std::size_t const bytes = words != 0 ? words * 4 : run.size() - at;  // the footer has none
    if (bytes > run.size() - at) { break; }
    store(&run[at], delta::crc32c(&run[at + 4], bytes - 4));
    at += bytes;
  }
}

/// What a run of these types goes through.
template <class K, class... Vs>
struct run_of {
  using owner = change_set<K, Vs...>;
  using ref = change_set_ref<K, Vs...>;

  struct streamed {
    ref rows;
    result<std::uint64_t> bytes = core::fail(errc::corrupt);
  };

  /// The rows of the blocks that come one by one, and where the run ended or why it did not. Good
  /// until the next call: to allocate so many rows anew would take longer than all else.
  [[nodiscard]] static streamed stream(bytes_of run) {
    static owner all, block = core::value_or_throw(owner::make(block_rows));
    std::size_t const most = run.size() / 12 * block_rows;
    if (all.capacity() < most) { all = core::value_or_throw(owner::make(2 * most)); }
    auto from = delta::run_decoder<delta::span_source, K, Vs...>::make(delta::span_source(run));
    if (!from) { return {{}, cuda::std::unexpected(from.error())}; }
    for (std::size_t size = 0;;) {
      auto const got = from->next(block.space());
      ref const rows = all.space().filled(size);
      if (!got) { return {rows, cuda::std::unexpected(got.error())}; }
      if (*got == 0) { return {rows, from->offset()}; }
      delta::copy_rows(block.space().filled(*got), all.space().from(size));
      size += *got;
    }
  }

  [[nodiscard]] static bool longer_than_written(delta::encoded_run_ref<K, Vs...> const& run) {
    bool longer = false;
    for (std::uint64_t b = 0; b < run.blocks(); ++b) {
      std::uint64_t const bytes = run.index().block_offset(b + 1) - run.index().block_offset(b);
      longer = longer || bytes > delta::max_block_bytes<K, Vs...>();
    }
    return longer;
  }

  /// Every way of reading says the same of these bytes.
  static void read(bytes_of run) {
    auto const rows = delta::decode<K, Vs...>(run, isa::scalar);
    for (isa const which : {isa::avx2, isa::avx512}) {
      auto const other = delta::decode<K, Vs...>(run, which);
      expect(rows.has_value() == other.has_value(), "instruction sets differ");
      if (rows) { expect(rows->ref() == other->ref(), "instruction sets differ in rows"); }
      if (!rows) { expect(rows.error() == other.error(), "instruction sets differ in errors"); }
    }
    auto const blocks = stream(run);
    if (rows) {
      expect(delta::validate(rows->ref()).has_value(), "rows are no change set");
      auto const again = delta::decode<K, Vs...>(encoded(rows->ref()).bytes());
      expect(again && again->ref() == rows->ref(), "rows written again are others");
      auto const raw = delta::decode<K, Vs...>(encoded_raw(rows->ref()).bytes());
      expect(raw && raw->ref() == rows->ref(), "rows written raw are others");
    } else {
      error const why = rows.error();
      expect(why.code == errc::corrupt || why.code == errc::unsupported_version ||
                 why.code == errc::layout_mismatch,
             "an error of another kind");
      expect(why.native >= 0 && static_cast<std::size_t>(why.native) <= run.size(),
             "an offset outside of the run");
      expect(!blocks.bytes || *blocks.bytes != run.size(), "a stream has read what is wrong");
    }
    if (auto const view = delta::view_raw<K, Vs...>(run); view) {
      expect(rows && *view == rows->ref(), "a view has other rows");
    }
    auto const packed = delta::encoded_run_ref<K, Vs...>::make(run);
    if (!packed) { return; }
    bool const strange = longer_than_written(*packed);
    if (rows && !strange) {
      expect(blocks.bytes && *blocks.bytes == run.size(), "a stream does not read what is right");
      expect(blocks.rows == rows->ref(), "a stream has other rows");
    }
    read_at_random(*packed, rows ? rows->ref() : ref{}, rows.has_value(), blocks.rows);
  }

  static void read_at_random(delta::encoded_run_ref<K, Vs...> const& run, ref rows, bool good,
                             ref streamed) {
    auto block = core::value_or_throw(owner::make(block_rows));
    K keys[block_rows];
    if (good) { expect(run.verify().has_value(), "keys are bad of a run that is good"); }
    for (std::uint64_t b = 0; b < run.blocks(); ++b) {
      auto const got = run.decode_block(b, block.space());
      auto const only = run.decode_keys(b, keys);
      expect(!good || got.has_value(), "a block is bad of a run that is good");
      expect(!got || only.has_value(), "keys are bad of a block that is good");
      if (!got) { continue; }
      ref const found = block.space().filled(*got);
      expect(std::equal(keys, keys + *only, found.keys().data()), "keys alone are others");
      if (good) { expect(found == rows.slice(b * block_rows, block_rows), "a block is another"); }
      if (streamed.size() >= b * block_rows + *got) {
        expect(found == streamed.slice(b * block_rows, *got), "a block streamed is another");
      }
      auto const at = run.find(found.key(*got / 2));
      if (good) { expect(at && *at == b * block_rows + *got / 2, "a key is not found"); }
    }
    for (K const key : {K{0}, K{1000}, static_cast<K>(~K{0})}) {
      auto const at = run.find(key);
      if (good) {
        std::size_t const want = rows.find(key);
        expect(at && *at == want, "a key is found elsewhere");
      }
    }
  }

  /// Values of every kind from the input's bytes, the last of which come again and again.
  template <class V>
  [[nodiscard]] static std::vector<V> column(std::size_t count, bytes_of from, std::uint8_t how) {
    std::vector<V> made(count);
    for (std::size_t i = 0; i < count; ++i) {
      auto const byte = [&](std::size_t at) { return from[at % from.size()]; };
      auto const small = static_cast<int>(byte(i)) - static_cast<int>(byte(i + 1)) / 8;
      if constexpr (std::is_arithmetic_v<V>) {
        if (how % 4 == 0) {
          made[i] = static_cast<V>(small);
          if constexpr (std::is_floating_point_v<V>) { made[i] /= V{100}; }
        }
        if (how % 4 == 1) { made[i] = static_cast<V>(static_cast<int>(i) * how + small / 16); }
        if (how % 4 < 2) { continue; }
      }
      std::byte bits[sizeof(V)];
      for (std::size_t b = 0; b < sizeof(V); ++b) {
        bits[b] = how % 4 == 2 ? byte(i * sizeof(V) + b) : byte(i / 7 + (b < 3 ? b : 0));
      }
      std::memcpy(static_cast<void*>(&made[i]), bits, sizeof(V));
    }
    return made;
  }

  /// Rows are written and come back; with one bit another, or cut, they are refused.
  static void write(bytes_of from) {
    if (from.size() < 8) { return; }
    auto const head = delta::detail::load<std::uint64_t>(from.data());
    std::size_t const count = head % 640;
    auto const how = static_cast<std::uint8_t>(head >> 16);
    std::vector<K> keys;
    K next = static_cast<K>(head >> 32);
    for (std::size_t i = 0; i < count; ++i) {
      keys.push_back(next);
      K const gap = static_cast<K>(static_cast<K>(from[(i + 3) % from.size()]) << (how % 25));
      if (gap >= static_cast<K>(~next)) { break; }
      next = static_cast<K>(next + gap + 1);
    }
    [&]<class... Columns>(Columns const&... columns) {
      ref const rows(keys.data(), keys.size(), columns.data()...);
      bool const raw = (head >> 24) % 4 == 0;
      auto const run = raw ? encoded_raw(rows) : encoded(rows);
      auto const back = delta::decode<K, Vs...>(run.bytes());
      expect(back && back->ref() == rows, "rows do not come back");
      if (!raw) {
        auto const slow = encoded(rows, isa::scalar);
        expect(slow.size() == run.size() && std::memcmp(&slow[0], &run[0], run.size()) == 0,
               "instruction sets write other bytes");
      }
      splitmix_rng chance(delta::crc32c(from.data(), from.size()));
      std::size_t const bit = chance.next() % (run.size() * 8);
      run[bit / 8] ^= std::byte{1} << (bit % 8);
      refused(run, rows);
      run[bit / 8] ^= std::byte{1} << (bit % 8);
      refused(run.first(chance.next() % run.size()), rows);
    }(column<Vs>(keys.size(), from, static_cast<std::uint8_t>(how + sizeof(Vs) / 4))...);
  }
  static void refused(exact_bytes const& run, ref rows) {
    expect(!delta::decode<K, Vs...>(run.bytes()), "a damaged run is read");
    expect(!delta::view_raw<K, Vs...>(run.bytes()), "a damaged run is viewed");
    auto const blocks = stream(run.bytes());
    expect(!blocks.bytes, "a damaged run is streamed to its end");
    expect(blocks.rows == rows.slice(0, blocks.rows.size()), "a damaged run gives other rows");
  }

  /// The first key that is out of order is found, wherever.
  static void validate(bytes_of from) {
    std::size_t const count = from.size() / sizeof(K);
    exact_bytes const held(from.subspan(0, count * sizeof(K)));
    auto* const keys = reinterpret_cast<K*>(held.span().data());
    if (count != 0 && from[0] < std::byte{128}) { std::sort(keys, keys + count / 2); }
    std::size_t want = 1;
    while (want < count && keys[want - 1] < keys[want]) { ++want; }
    want = std::min(want, count);
    for (isa const which : core::all_isas) {
      auto const said = delta::validate(change_set_ref<K>(keys, count), which);
      expect(said.has_value() == (want == count), "keys in order are refused, or others taken");
      if (!said) { expect(said.error().native == static_cast<int>(want), "another key is named"); }
    }
  }

  static void go(task what, bytes_of rest) {
    exact_bytes const run(rest);
    switch (what) {
      case task::read: return read(run.bytes());
      case task::read_sealed: seal(run); return read(run.bytes());
      case task::write: return write(run.bytes());
      case task::validate: return validate(run.bytes());
    }
  }

  [[nodiscard]] static exact_bytes sample(splitmix_rng& chance) {
    constexpr std::size_t sizes[] = {0, 1, 2, 9, 40, 255, 256, 257, 300, 520};
    std::size_t const count = sizes[chance.next() % (chance.next() % 4 == 0 ? 10 : 5)];
    auto const how = static_cast<gaps>(chance.next() % 4);
    auto const rows = rows_of<K, Vs...>(count, how, chance.next());
    return chance.next() % 5 == 0 ? encoded_raw(rows.ref()) : encoded(rows.ref());
  }
};

/// Calls `with` with the run_of that the input's first byte names.
template <class With>
void dispatch(std::uint8_t which, With&& with) {
  switch (which % 6) {
    case 0: return with(run_of<std::uint32_t>{});
    case 1: return with(run_of<std::uint64_t, double>{});
    case 2: return with(run_of<std::uint32_t, float, std::int32_t>{});
    case 3: return with(run_of<std::uint64_t, stored_quote, std::int64_t, std::uint8_t>{});
    case 4: return with(run_of<std::uint32_t, double, std::uint16_t>{});
    default: return with(run_of<std::uint64_t>{});
  }
}

[[nodiscard]] std::uint8_t first_byte(splitmix_rng& chance, task what) {
  return static_cast<std::uint8_t>(static_cast<unsigned>(what) << 6 | chance.next() % 64);
}

}  // namespace

/// Little that was freed is kept: most of it would be pages to touch.
extern "C" char const* __asan_default_options() { return "quarantine_size_mb=4"; }

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size == 0) { return 0; }
  bytes_of const rest(reinterpret_cast<std::byte const*>(data + 1), size - 1);
  dispatch(data[0] % 64, [&](auto run) { run.go(static_cast<task>(data[0] >> 6), rest); });
  return 0;
}

/// Begins anew with a whole run now and then, and changes bytes in place more often than not: what
/// is longer or shorter is found out at once.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  splitmix_rng chance(seed);
  std::uint64_t const kind = chance.next() % 32;
  if (size < 9 || kind == 0) {
    std::uint64_t const what = chance.next() % 8;
    if (what < 2 && most >= 64) {
      data[0] = first_byte(chance, what == 0 ? task::write : task::validate);
      for (std::size_t i = 1; i < 64; ++i) { data[i] = static_cast<std::uint8_t>(chance.next()); }
      return 64;
    }
    data[0] = first_byte(chance, what == 2 ? task::read : task::read_sealed);
    std::size_t bytes = 0;
    dispatch(data[0] % 64, [&](auto run) {
      auto const whole = run.sample(chance);
      bytes = std::min(whole.size(), most - 1);
      std::memcpy(data + 1, whole.bytes().data(), bytes);
    });
    return bytes + 1;
  }
  if (kind < 12) { return 1 + LLVMFuzzerMutate(data + 1, size - 1, most - 1); }
  for (std::uint64_t i = chance.next() % 3 + 1; i != 0; --i) {
    std::uint8_t& byte = data[1 + chance.next() % (size - 1)];
    std::uint64_t const how = chance.next() % 3;
    if (how == 0) { byte ^= static_cast<std::uint8_t>(1u << chance.next() % 8); }
    if (how == 1) { byte = static_cast<std::uint8_t>(byte + (chance.next() % 2 == 0 ? 1 : 255)); }
    if (how == 2) { byte = static_cast<std::uint8_t>(chance.next()); }
  }
  return size;
}
