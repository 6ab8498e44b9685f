// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "desks.hpp"
#include "instruction_set.hpp"
#include <millrace/core/backend.hpp>
#include <millrace/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <utility>

namespace revalue {

/// Messages that an engine holds in flight, whatever desks they are for.
inline constexpr std::size_t lane_capacity = 1024;

/// Whoever keeps the desks revalued. Updates go in, replies come out in the same order.
/// @thread one
class engine {
 public:
  engine() = default;
  engine(engine&&) = default;
  engine& operator=(engine&&) = default;
  virtual ~engine() = default;

  /// Takes one update for its desk.
  /// @error errc::full: take replies first; what the consumer says otherwise
  [[nodiscard]] virtual millrace::result<void> submit(update const& what) noexcept = 0;
  /// Lets the desks see everything submitted.
  virtual void flush() noexcept = 0;
  /// The next reply, to an update of `desk`: to be asked for in the order of submission.
  /// @error errc::not_ready; what the consumer says otherwise
  [[nodiscard]] virtual millrace::result<reply> take(std::uint16_t desk) noexcept = 0;
  /// As `take`, once the reply is there.
  /// @error errc::deadline_passed when a minute was not enough
  [[nodiscard]] virtual millrace::result<reply> wait(std::uint16_t desk) noexcept = 0;
  /// Ends the work; afterwards the desks' memory on the host holds the final state.
  [[nodiscard]] virtual millrace::result<void> finish() noexcept = 0;

  [[nodiscard]] virtual millrace::core::backend where() const noexcept = 0;
  [[nodiscard]] virtual std::uint32_t workers() const noexcept = 0;
  /// The instructions or the device that price, in words.
  [[nodiscard]] virtual std::string processor() const = 0;
};

/// No queue and no other thread: the caller prices. What every other engine is compared with.
class loop_engine final : public engine {
 public:
  explicit loop_engine(desks& on, instruction_set with = best_instruction_set())
      : desks_(on), with_(with) {}

  [[nodiscard]] millrace::result<void> submit(update const& what) noexcept override {
    replies_.push_back(with_.apply(desks_.refs()[what.desk], what));
    return {};
  }
  void flush() noexcept override {}
  [[nodiscard]] millrace::result<reply> take(std::uint16_t) noexcept override {
    if (replies_.empty()) { return millrace::core::fail(millrace::errc::not_ready); }
    reply const next = replies_.front();
    replies_.pop_front();
    return next;
  }
  [[nodiscard]] millrace::result<reply> wait(std::uint16_t desk) noexcept override {
    return take(desk);
  }
  [[nodiscard]] millrace::result<void> finish() noexcept override { return {}; }

  [[nodiscard]] millrace::core::backend where() const noexcept override {
    return millrace::core::backend::host();
  }
  [[nodiscard]] std::uint32_t workers() const noexcept override { return 0; }
  [[nodiscard]] std::string processor() const override { return with_.name; }

 private:
  desks& desks_;
  instruction_set with_;
  std::deque<reply> replies_;
};

}  // namespace revalue
