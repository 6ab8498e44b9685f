// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::propagate::detail {

/// A cell's value from one epoch on, until that of the next version. The value follows in memory, a
/// small one on the same line.
struct alignas(core::line_bytes) version {
  std::uint64_t epoch = 0;
  version* older = nullptr;
  version* next = nullptr;  ///< in the log: the next that takes the place of an older one
  void* owner = nullptr;    ///< whose version it is
  error failure{};          ///< what the value is instead; code ok: there is a value
  bool gone = false;        ///< from here on the cell has none
  bool in_block = false;    ///< it was taken, and goes back, through the graph's blocks
};

/// A cell's versions, the newest first.
template <core::access_policy A>
class version_chain {
 public:
  /// The one of an epoch; null where there was none. Safe beside push and cut, for who has pinned
  /// the epoch.
  [[nodiscard]] version const* at(std::uint64_t epoch) const noexcept {
    version const* v = newest();
    while (v != nullptr) {
      A::read(&v->epoch, sizeof v->epoch, "version.epoch");
      if (v->epoch <= epoch) { break; }
      A::read(&v->older, sizeof v->older, "version.older");
      v = v->older;
    }
    return v;
  }
  [[nodiscard]] version* newest() const noexcept {
    return reinterpret_cast<version*>(A::load(newest_, core::acquire, "versions.newest"));
  }
  /// A version of an epoch that nobody has pinned yet.
  void push(version* v) noexcept {
    version* const before =
        reinterpret_cast<version*>(A::load(newest_, core::relaxed, "versions.before"));
    A::write(&v->older, sizeof v->older, "version.older");
    v->older = before;
    A::store(newest_, reinterpret_cast<std::uintptr_t>(v), core::release, "versions.push");
  }

 private:
  std::uintptr_t newest_ = 0;
};

/// Versions that have taken the place of older ones, in the order of epochs: what may go next, and
/// when. Each was cut off from what is older before the next one is.
/// @thread one at a time
class version_log {
 public:
  /// `v` has taken the place of v->older.
  void add(version* v) noexcept {
    v->next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = v;
    last_ = v;
    ++size_;
  }
  /// Cuts off what only epochs before `oldest` need, and hands it to free(older, superseding).
  template <core::access_policy A, class Free>
  void cut(std::uint64_t oldest, Free&& free) noexcept {
    while (first_ != nullptr && first_->epoch <= oldest) {
      version* const v = first_;
      first_ = v->next;
      --size_;
      if (first_ == nullptr) { last_ = nullptr; }
      A::write(&v->older, sizeof v->older, "version.older");
      version* const gone = v->older;
      v->older = nullptr;
      free(gone, v);
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  version* first_ = nullptr;
  version* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace millrace::inline v0::propagate::detail
