// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "book.hpp"
#include "desks.hpp"
#include "engine.hpp"
#include "feed.hpp"
#include "risk.hpp"
#include "state_memory.hpp"
#include <millrace/core/clock.hpp>
#include <millrace/core/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace revalue {

/// What a run found.
struct findings {
  column<risk> firm;                               ///< after each event
  column<outcome> outcomes;                        ///< of each event
  column<risk> desks;                              ///< at the end
  column<std::uint32_t> latency_ns;                ///< of each event, from submit to its last reply
  std::array<std::size_t, outcome_count> tally{};  ///< of option quotes
  std::uint64_t recomputed = 0;                    ///< options priced anew
  std::uint64_t messages = 0;                      ///< to desks; in batches, rows
  double seconds = 0;
  std::uint64_t batches = 0;      ///< 0: every update was a message of its own
  std::uint64_t batch_bytes = 0;  ///< of their messages
};

/// Sends a feed through an engine and adds the desks up to the firm. Several events are in flight
/// at once, few enough that a reply does not wait long behind others.
class run {
 public:
  static constexpr std::size_t most_in_flight = 128;
  static constexpr std::size_t most_books_in_flight = 2;  ///< events that touch every option

  /// @throws std::bad_alloc when the memory of the desks has no room for what it will find
  run(feed const& from, desks const& on, engine& through)
      : from_(from),
        on_(on),
        through_(through),
        sequences_(column_of<std::uint64_t>(on.refs().size(), on.memory())),
        nodes_(column_of<risk>(risk_tree::size(static_cast<std::uint32_t>(on.refs().size())),
                               on.memory())),
        firm_{nodes_.data(), static_cast<std::uint32_t>(on.refs().size())} {
    found_.firm = column_of<risk>(from.events.size(), on.memory());
    found_.outcomes = column_of<outcome>(from.events.size(), on.memory());
    found_.desks = column_of<risk>(firm_.leaves, on.memory());
    found_.latency_ns = column_of<std::uint32_t>(from.events.size(), on.memory());
  }

  /// Does every event. `each(done)` is called after each.
  /// @error what the engine says
  template <class Each>
  [[nodiscard]] millrace::result<void> all(Each each) {
    std::size_t const count = from_.events.size();
    std::uint64_t const start = clock::now_ns();
    while (done_ < count) {
      if (auto const sent = send(); !sent) { return sent; }
      if (auto const got = finish_one(); !got) { return got; }
      each(done_);
    }
    found_.seconds = 1e-9 * static_cast<double>(clock::now_ns() - start);
    std::copy_n(nodes_.begin(), firm_.leaves, found_.desks.begin());
    return {};
  }
  /// What the events done so far gave.
  [[nodiscard]] findings const& found() const noexcept { return found_; }

 private:
  using clock = millrace::core::steady_clock;

  [[nodiscard]] static bool goes_to_all(event const& e) noexcept { return !e.is_quote(); }

  /// Submits events until enough are in flight.
  [[nodiscard]] millrace::result<void> send() {
    while (sent_ < from_.events.size() && sent_ - done_ < most_in_flight) {
      event const& e = from_.events[sent_];
      bool const book = e.kind == update_kind::spot;
      if (book && books_in_flight_ == most_books_in_flight) { break; }
      if (goes_to_all(e) && messages_in_flight_ + sequences_.size() > lane_capacity) { break; }
      started_ns_[sent_ % most_in_flight] = clock::now_ns();
      if (goes_to_all(e)) {
        for (std::size_t d = 0; d < sequences_.size(); ++d) {
          if (auto const ok = message(e, static_cast<std::uint16_t>(d), 0); !ok) { return ok; }
        }
        books_in_flight_ += book ? 1 : 0;
      } else {
        place const at = on_.places()[e.contract];
        if (auto const ok = message(e, at.desk, at.option); !ok) { return ok; }
      }
      ++sent_;
    }
    through_.flush();
    return {};
  }

  [[nodiscard]] millrace::result<void> message(event const& e, std::uint16_t desk,
                                               std::uint32_t option) {
    ++found_.messages;
    ++messages_in_flight_;
    return through_.submit({e.price, sequences_[desk]++, e.time, option, desk, e.kind});
  }

  /// Takes the replies to the oldest event in flight.
  [[nodiscard]] millrace::result<void> finish_one() {
    event const& e = from_.events[done_];
    if (goes_to_all(e)) {
      for (std::size_t d = 0; d < sequences_.size(); ++d) {
        if (auto const ok = take(static_cast<std::uint16_t>(d)); !ok) { return ok; }
      }
      firm_.rebuild(solo{});
      books_in_flight_ -= e.kind == update_kind::spot ? 1 : 0;
    } else {
      std::uint16_t const desk = on_.places()[e.contract].desk;
      if (auto const ok = take(desk); !ok) { return ok; }
      firm_.refresh(desk);
      ++found_.tally[static_cast<std::size_t>(found_.outcomes[done_])];
    }
    found_.firm[done_] = firm_.root();
    found_.latency_ns[done_] =
        static_cast<std::uint32_t>(clock::now_ns() - started_ns_[done_ % most_in_flight]);
    ++done_;
    return {};
  }

  [[nodiscard]] millrace::result<void> take(std::uint16_t desk) {
    auto answer = through_.take(desk);
    if (!answer && answer.error().code == millrace::errc::not_ready) {
      answer = through_.wait(desk);
    }
    if (!answer) { return cuda::std::unexpected(answer.error()); }
    --messages_in_flight_;
    nodes_[desk] = {
        answer->value, answer->delta, answer->gamma, answer->vega, answer->theta, answer->rho, {}};
    found_.outcomes[done_] = answer->outcome;
    found_.recomputed += answer->recomputed;
    return {};
  }

  feed const& from_;
  desks const& on_;
  engine& through_;
  column<std::uint64_t> sequences_;  ///< [desks]
  column<risk> nodes_;
  risk_tree firm_;
  std::array<std::uint64_t, most_in_flight> started_ns_{};
  std::size_t sent_ = 0;
  std::size_t done_ = 0;
  std::size_t books_in_flight_ = 0;
  std::size_t messages_in_flight_ = 0;
  findings found_;
};

}  // namespace revalue
