// SPDX-License-Identifier: Apache-2.0
// Bytes as runs. The first byte chooses the types of a run, the second what happens to the others:
// they are decoded as they are; or with every checksum made right, so that what lies behind the
// checksums meets them too; or they become rows, whose run is decoded after one mutation. What
// comes out is an error that says where, or rows whose keys increase and that encode and decode to
// themselves; after a mutation, exactly the rows that went in.
#include <millrace/delta/decode_run.hpp>
#include <millrace/delta/encode_run.hpp>
#include <millrace/delta/read_run.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace {

using namespace millrace;
using bytes = cuda::std::span<std::byte const>;

/// Bytes in a block of exactly their number, so that a read beyond them is seen.
struct exactly {
  std::unique_ptr<std::byte[]> held;
  std::size_t size = 0;

  explicit exactly(bytes from) : held(new std::byte[from.size()]), size(from.size()) {
    if (!from.empty()) { std::memcpy(held.get(), from.data(), from.size()); }
  }
  [[nodiscard]] bytes all() const { return {held.get(), size}; }
};

void require(bool good, char const* what) {
  if (good) { return; }
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

struct quote {
  std::uint32_t price;
  std::uint16_t size, venue;
};

template <class K, class... Vs>
struct run_of {
  using ref = delta::change_set_ref<K, Vs...>;
  using owner = delta::change_set<K, Vs...>;

  static void require_same(result<owner> const& got, ref want, char const* what) {
    require(got.has_value() && got->ref() == want, what);
  }

  [[nodiscard]] static exactly encode(ref rows, core::isa which) {
    std::vector<std::byte> room(delta::max_encoded_bytes<K, Vs...>(rows.size()));
    auto const size =
        delta::encode(rows, cuda::std::span<std::byte>(room.data(), room.size()), which);
    require(size.has_value(), "increasing keys were not encoded");
    return exactly(bytes(room.data(), *size));
  }
  [[nodiscard]] static exactly encode_raw(ref rows) {
    std::vector<std::byte> room(delta::raw_bytes<K, Vs...>(rows.size()));
    auto const size = delta::encode_raw(rows, cuda::std::span<std::byte>(room.data(), room.size()));
    require(size.has_value(), "increasing keys were not encoded");
    return exactly(bytes(room.data(), *size));
  }

  /// Bytes of any kind. `known`: rows that must come out when any do.
  static void decode(exactly const& run, ref const* known) {
    auto const got = delta::decode<K, Vs...>(run.all());
    if (got) {
      auto const keys = got->ref().keys();
      for (std::size_t i = 1; i < keys.size(); ++i) {
        require(keys[i - 1] < keys[i], "keys that do not increase were decoded");
      }
      if (known != nullptr) { require(got->ref() == *known, "other rows were decoded"); }
      require_same(delta::decode<K, Vs...>(encode(got->ref(), core::best_isa()).all()), got->ref(),
                   "decoded rows do not come back");
      require_same(delta::decode<K, Vs...>(run.all(), core::isa::scalar), got->ref(),
                   "the scalar path decodes other rows");
    } else {
      auto const code = got.error().code;
      require(code == errc::corrupt || code == errc::unsupported_version ||
                  code == errc::layout_mismatch,
              "an error of another kind");
      require(got.error().native >= 0 && static_cast<std::size_t>(got.error().native) <= run.size,
              "an offset outside the run");
    }
    stream(run, got ? &*got : nullptr, known);
    if (auto const ref = delta::encoded_run_ref<K, Vs...>::make(run.all())) {
      for (K const key : {K{0}, static_cast<K>(77), static_cast<K>(~K{0})}) {
        auto const row = ref->find(key);
        if (row && got) {
          std::size_t const at = got->ref().find(key);
          require(*row == at, "find says another row than there is");
        }
      }
      require(!got || ref->verify().has_value(), "verify refuses what was decoded");
    }
  }

  /// The same, block by block.
  static void stream(exactly const& run, owner const* decoded, ref const* known) {
    auto from =
        delta::run_decoder<delta::span_source, K, Vs...>::make(delta::span_source(run.all()));
    if (!from) { return; }
    auto room = core::value_or_throw(owner::make(delta::block_rows));
    std::size_t rows = 0;
    for (;;) {
      auto const count = from->next(room.space());
      if (!count) {
        require(decoded == nullptr, "a run that decodes at once does not block by block");
        return;
      }
      if (*count == 0) { break; }
      auto const block = room.space().filled(*count);
      if (decoded != nullptr) {
        require(block == decoded->ref().slice(rows, *count), "a block has other rows than the run");
      }
      if (known != nullptr) {
        require(block == known->slice(rows, *count), "a block has other rows than went in");
      }
      rows += *count;
    }
    require(decoded != nullptr || from->offset() != run.size,
            "a run that decodes block by block does not at once");
  }

  /// Makes every checksum of a packed run right that can be found, and its magic numbers.
  static void seal(exactly const& run) {
    using delta::detail::load;
    using delta::detail::store;
    std::byte* const at = run.held.get();
    auto const begin =
        std::size_t{delta::run_header_of<K, Vs...>(delta::run_kind::packed, 0).size_bytes()};
    if (run.size < begin + 8) { return; }
    auto header =
        delta::run_header_of<K, Vs...>(delta::run_kind::packed, load<std::uint64_t>(at + 8));
    if (header.rows > delta::max_run_rows) { header.rows = delta::unknown_rows; }
    delta::write_header(header, at);
    std::size_t offset = begin;
    while (run.size - offset >= 8) {
      auto const size = std::size_t{load<std::uint16_t>(at + offset + 4)} * delta::word_bytes;
      if (size == 0 || size > run.size - offset) { break; }
      store(at + offset, delta::crc32c(at + offset + 4, size - 4));
      offset += size;
    }
    if (run.size - offset < delta::footer_bytes<K>(0)) { return; }
    std::size_t const end = run.size;
    store(at + end - 8, static_cast<std::uint32_t>((end - offset) / delta::word_bytes));
    store(at + end - 4, delta::run_end_magic);
    store(at + offset, delta::crc32c(at + offset + 4, end - offset - 4));
  }

  /// Rows out of bytes: a byte of gap, a byte that repeats in the values; now and then a long gap.
  [[nodiscard]] static owner rows_from(bytes data) {
    std::size_t const count = std::min<std::size_t>(data.size() / 2, 700);
    auto made = core::value_or_throw(owner::make(count));
    K key = 0;
    std::size_t filled = 0;
    for (std::size_t i = 0; i < count; ++i) {
      auto gap = static_cast<K>(data[2 * i]);
      if (gap > 250) { gap = static_cast<K>(static_cast<K>(gap - 250) << (sizeof(K) * 8 - 6)); }
      K const next = static_cast<K>(key + gap + (i == 0 ? 0 : 1));
      if (i != 0 && next <= key) { break; }
      key = next;
      made.space().keys()[i] = key;
      put(made.space(), i, data[2 * i + 1], std::index_sequence_for<Vs...>{});
      ++filled;
    }
    made.set_size(filled);
    return made;
  }
  template <std::size_t... Is>
  static void put(delta::change_space<K, Vs...> to, std::size_t i, std::byte fill,
                  std::index_sequence<Is...>) {
    int const low = static_cast<int>(fill) & 3;  // else most bytes of a value are zero
    (std::memset(static_cast<void*>(to.template values<Is>() + i),
                 low == 0 ? static_cast<int>(fill) : 0, sizeof(Vs)),
     ...);
    (std::memcpy(static_cast<void*>(to.template values<Is>() + i), &fill, 1), ...);
  }

  static void mutate(bytes data, bool raw) {
    if (data.size() < 5) { return; }
    std::uint32_t where = 0;
    std::memcpy(&where, data.data(), 4);
    auto const how = static_cast<std::uint8_t>(data[4]);
    owner const rows = rows_from(data.subspan(5));
    ref const known = rows.ref();
    exactly const run = raw ? encode_raw(known) : encode(known, core::best_isa());
    if (!raw) {
      require_same(delta::decode<K, Vs...>(encode(known, core::isa::scalar).all()), known,
                   "rows do not come back from the scalar path");
    }
    require_same(delta::decode<K, Vs...>(run.all()), known, "rows do not come back");
    if (how == 0) { return decode(exactly(run.all().subspan(0, where % run.size)), &known); }
    exactly const changed(run.all());
    changed.held[where % run.size] ^= std::byte{how};
    decode(changed, &known);
    require(!delta::decode<K, Vs...>(changed.all()).has_value(), "a changed byte went unseen");
  }

  static void one(std::uint8_t mode, bytes data) {
    if (mode % 4 == 0) { return decode(exactly(data), nullptr); }
    if (mode % 4 != 1) { return mutate(data, mode % 4 == 2); }
    exactly const run(data);
    seal(run);
    decode(run, nullptr);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size < 2) { return 0; }
  bytes const rest(reinterpret_cast<std::byte const*>(data) + 2, size - 2);
  switch (data[0] % 6) {
    case 0: run_of<std::uint32_t>::one(data[1], rest); break;
    case 1: run_of<std::uint64_t>::one(data[1], rest); break;
    case 2: run_of<std::uint32_t, float, double>::one(data[1], rest); break;
    case 3: run_of<std::uint64_t, double>::one(data[1], rest); break;
    case 4: run_of<std::uint32_t, std::int32_t, std::uint64_t>::one(data[1], rest); break;
    default: run_of<std::uint64_t, quote, std::int64_t, std::uint8_t>::one(data[1], rest); break;
  }
  return 0;
}
