// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "batch.hpp"
#include "batch_engine.hpp"
#include "desks.hpp"
#include "feed.hpp"
#include "implied_vol.hpp"
#include "risk.hpp"
#include "run.hpp"
#include "state_memory.hpp"
#include <millrace/core/clock.hpp>
#include <millrace/core/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

namespace revalue {

/// Sends a feed in batches. Of a batch's updates, those remain that the final state depends on: the
/// newest of each instrument in each epoch (see batch.hpp). Quotes that imply no volatility change
/// nothing, so they are refused here, at the price that they met, lest one displace a quote before
/// it. Outcomes and the state after every batch are those of `run`, bit for bit; the firm's risk is
/// known after each batch, not after each update.
class batched_run {
 public:
  /// @param batch  updates that travel together, from 1 to most_batched
  /// @throws std::bad_alloc when the memory of the desks has no room for what it will find
  batched_run(feed const& from, desks const& on, batch_engine& through, std::size_t batch)
      : from_(from),
        on_(on),
        through_(through),
        batch_(batch),
        sequences_(column_of<std::uint64_t>(on.refs().size(), on.memory())),
        nodes_(column_of<risk>(risk_tree::size(static_cast<std::uint32_t>(on.refs().size())),
                               on.memory())),
        firm_{nodes_.data(), static_cast<std::uint32_t>(on.refs().size())},
        message_(column_of<std::byte>(batch_bytes(batch), on.memory())) {
    found_.firm = column_of<risk>(from.events.size(), on.memory());
    found_.outcomes = column_of<outcome>(from.events.size(), on.memory());
    found_.desks = column_of<risk>(firm_.leaves, on.memory());
    found_.latency_ns = column_of<std::uint32_t>(from.events.size(), on.memory());
    changes_.reserve(on.refs().size());
    for (std::size_t d = 0; d < on.refs().size(); ++d) {
      auto made = desk_changes_builder::make({}, on.memory());
      if (!made) { throw std::bad_alloc(); }
      changes_.push_back(std::move(*made));
    }
    for (sent_batch& each : in_flight_) { each.desks.reserve(on.refs().size()); }
  }

  /// Does every event. `each(done)` is called after each batch.
  /// @error what the engine says; errc::corrupt when a desk got something else than was sent;
  ///        errc::out_of_memory
  template <class Each>
  [[nodiscard]] millrace::result<void> all(Each each) {
    std::uint64_t const start = clock::now_ns();
    while (done_ < from_.events.size()) {
      while (sent_ < from_.events.size() && batches_sent_ - batches_done_ < in_flight_.size()) {
        if (auto const ok = send(); !ok) { return ok; }
      }
      if (auto const ok = finish_one(); !ok) { return ok; }
      each(done_);
    }
    found_.batches = batches_done_;
    found_.seconds = 1e-9 * static_cast<double>(clock::now_ns() - start);
    std::copy_n(nodes_.begin(), firm_.leaves, found_.desks.begin());
    return {};
  }
  /// What the batches done so far gave.
  [[nodiscard]] findings const& found() const noexcept { return found_; }

 private:
  using clock = millrace::core::steady_clock;

  struct sent_batch {
    std::size_t end = 0;  ///< event behind its last
    std::uint64_t started_ns = 0;
    std::vector<std::uint16_t> desks;  ///< that got a message
  };

  /// Sorts the next events into desks and submits what remains of them.
  [[nodiscard]] millrace::result<void> send() {
    sent_batch& b = in_flight_[batches_sent_ % in_flight_.size()];
    b.started_ns = clock::now_ns();
    b.end = std::min(sent_ + batch_, from_.events.size());
    b.desks.clear();
    epoch_ = 0;
    quoted_ = false;
    for (; sent_ < b.end; ++sent_) {
      if (auto const ok = collect(from_.events[sent_]); !ok) { return ok; }
    }
    for (std::size_t d = 0; d < changes_.size(); ++d) {
      if (changes_[d].empty()) { continue; }
      auto const rows = changes_[d].finish();
      if (!rows) { return cuda::std::unexpected(rows.error()); }
      auto const message = encode_batch(sequences_[d], *rows, {message_.data(), message_.size()});
      if (!message) { return cuda::std::unexpected(message.error()); }
      auto const desk = static_cast<std::uint16_t>(d);
      if (auto const ok = through_.submit(desk, *message); !ok) { return ok; }
      sequences_[d] += rows->size();
      found_.messages += rows->size();
      found_.batch_bytes += message->size();
      b.desks.push_back(desk);
    }
    ++batches_sent_;
    return {};
  }

  [[nodiscard]] millrace::result<void> collect(event const& e) {
    outcome& verdict = found_.outcomes[sent_];
    verdict = outcome::applied;
    if (e.kind == update_kind::quiet) { return {}; }
    auto const kind = static_cast<std::uint16_t>(e.kind);
    if (e.kind == update_kind::spot) {
      epoch_ += quoted_ ? 1 : 0;
      quoted_ = false;
      spot_ = e.price;
      for (std::size_t d = 0; d < changes_.size(); ++d) {
        change_key const key = key_of(epoch_, static_cast<std::uint16_t>(d), 0);
        if (auto const ok = changes_[d].append(key, e.price, e.time, kind); !ok) { return ok; }
      }
      return {};
    }
    place const at = on_.places()[e.contract];
    verdict = verdict_of(e, at);
    ++found_.tally[static_cast<std::size_t>(verdict)];
    if (verdict != outcome::applied) { return {}; }
    quoted_ = true;
    return changes_[at.desk].append(key_of(epoch_, at.desk, at.option + 1), e.price, e.time, kind);
  }

  /// What apply_quote will say, from what no update changes and the price that the quote meets.
  [[nodiscard]] outcome verdict_of(event const& e, place at) const noexcept {
    if (!(spot_ > 0)) { return outcome::no_underlying; }
    if (e.kind != update_kind::mid) { return outcome::applied; }
    option_block const& o = on_.refs()[at.desk].options[at.option / block_width];
    std::uint32_t const lane = at.option % block_width;
    return within_bounds(e.price, o.sign[lane], product(spot_, o.dividend_discount[lane]),
                         o.strike_value[lane]);
  }

  /// Takes the replies to the oldest batch in flight.
  [[nodiscard]] millrace::result<void> finish_one() {
    sent_batch const& b = in_flight_[batches_done_ % in_flight_.size()];
    for (std::uint16_t const desk : b.desks) {
      auto const got = through_.wait(desk);
      if (!got) { return cuda::std::unexpected(got.error()); }
      if (got->outcome != outcome::applied) {
        return millrace::core::fail(millrace::errc::corrupt);
      }
      nodes_[desk] = {got->value, got->delta, got->gamma, got->vega, got->theta, got->rho, {}};
      found_.recomputed += got->recomputed;
    }
    firm_.rebuild(solo{});
    auto const took = static_cast<std::uint32_t>(clock::now_ns() - b.started_ns);
    for (; done_ < b.end; ++done_) {
      found_.firm[done_] = firm_.root();
      found_.latency_ns[done_] = took;
    }
    ++batches_done_;
    return {};
  }

  feed const& from_;
  desks const& on_;
  batch_engine& through_;
  std::size_t batch_;
  column<std::uint64_t> sequences_;  ///< [desks]
  column<risk> nodes_;
  risk_tree firm_;
  column<std::byte> message_;
  std::vector<desk_changes_builder> changes_;  ///< [desks]
  std::array<sent_batch, most_batches_in_flight> in_flight_;
  double spot_ = 0;  ///< the underlying's price before the next event
  std::uint32_t epoch_ = 0;
  bool quoted_ = false;  ///< whether the epoch has a quote
  std::size_t sent_ = 0;
  std::size_t done_ = 0;
  std::size_t batches_sent_ = 0;
  std::size_t batches_done_ = 0;
  findings found_;
};

}  // namespace revalue
