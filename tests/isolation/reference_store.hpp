// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "history.hpp"
#include <millrace/core/rng.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace millrace_test::isolation {

/// Mistakes of stores, one at a time.
enum class planted : std::uint8_t {
  nothing,
  no_read_validation,      ///< snapshot isolation
  no_write_validation,     ///< who commits last wins
  dirty_read,              ///< reads see what others have not committed yet
  aborted_visible,         ///< an abort comes after the versions were made
  intermediate_visible,    ///< an append is a version before its transaction appends more
  fractured_snapshot,      ///< each read sees the newest version of its list
  uneven_snapshot,         ///< some lists are read as of a later epoch than others
  stale_snapshot,          ///< a transaction begins some epochs ago
  early_publish,           ///< an epoch is seen before an earlier one has all its versions
  publish_before_install,  ///< an epoch is seen before its own versions are there
  early_release,           ///< a version is given back that somebody still reads
  own_writes_unseen,       ///< a transaction reads its lists without its own appends
  lost_commit,             ///< a commit is acknowledged and never made
  installed_twice,         ///< a commit is repeated after half of it was made
  late_reservation         ///< others validate before the commit's lists are marked
};
inline constexpr std::size_t planted_kinds = 16;

[[nodiscard]] constexpr char const* describe(planted p) noexcept {
  constexpr std::array<char const*, planted_kinds> names = {
      "nothing",           "no read validation", "no write validation",    "dirty read",
      "aborted visible",   "intermediate",       "fractured snapshot",     "uneven snapshot",
      "stale snapshot",    "early publish",      "publish before install", "early release",
      "own writes unseen", "lost commit",        "installed twice",        "late reservation"};
  return names[static_cast<std::size_t>(p)];
}

/// A store of lists with versions, played by four writers that take turns by chance, a step at a
/// time. Serialisable: a commit finds every list that it has read or appended to unchanged since
/// its snapshot, marks those that it changes, installs one version a step, and publishes its epoch
/// when all earlier ones are.
class reference_store {
 public:
  explicit reference_store(std::uint64_t seed, planted bug = planted::nothing)
      : dice_{seed}, bug_{bug} {
    for (list_key& key : active_) { key = make_list(); }
  }

  /// Goes on until `count` transactions have ended.
  void play(std::uint32_t count) {
    while (ended_ < count) {
      ++time_;
      step(writers_[draw(writers)]);
    }
  }
  /// Those that have ended.
  [[nodiscard]] history told() const {
    history all;
    for (auto const& w : writers_) { all.add(w.done); }
    return all;
  }

 private:
  static constexpr std::uint32_t writers = 4, active_lists = 6, longest = 32;

  struct version {
    std::uint64_t epoch = 0;
    std::vector<list_value> list;
  };
  struct slot {
    std::vector<version> versions{{}};
    std::uint64_t reserved = 0;  ///< the newest epoch that changes it, published or not
  };
  struct staged_list {
    list_key key;
    std::vector<list_value> list;
    std::uint64_t already = 0;  ///< the epoch in which an earlier append of it went out
  };
  enum class phase : std::uint8_t { idle, running, reserving, installing, publishing };
  struct writer {
    phase at = phase::idle;
    std::uint64_t snapshot = 0, epoch = 0;
    std::uint32_t steps_left = 0;
    std::size_t installed = 0;
    outcome will_tell = outcome::committed;
    std::vector<list_key> reads;
    std::vector<staged_list> writes;
    history open, done;
  };

  [[nodiscard]] std::uint32_t draw(std::uint32_t below) noexcept {
    return static_cast<std::uint32_t>(dice_.next() >> 32) % below;
  }
  [[nodiscard]] bool one_in(std::uint32_t n) noexcept { return draw(n) == 0; }
  [[nodiscard]] bool plants(planted p) const noexcept { return bug_ == p; }
  [[nodiscard]] list_key make_list() {
    lists_.emplace_back();
    return static_cast<list_key>(lists_.size() - 1);
  }
  [[nodiscard]] std::uint32_t number_of(writer const& w) const noexcept {
    return static_cast<std::uint32_t>(&w - writers_.data());
  }

  void step(writer& w) {
    switch (w.at) {
      case phase::idle: return begin(w);
      case phase::running:
        if (w.steps_left-- != 0) { return run(w); }
        return one_in(16) ? abort(w) : commit(w);
      case phase::reserving: return reserve(w);
      case phase::installing: return install(w);
      case phase::publishing: return publish(w);
    }
  }

  void begin(writer& w) {
    w.at = phase::running;
    w.snapshot = newest_;
    if (plants(planted::stale_snapshot)) {
      w.snapshot -= std::min<std::uint64_t>(newest_, draw(4));
    }
    w.steps_left = 1 + draw(4);
    w.will_tell = one_in(64) ? outcome::unknown : outcome::committed;
    w.reads.clear();
    w.writes.clear();
    w.installed = 0;
    w.open = {};
    w.open.begin(number_of(w), time_);
  }

  void run(writer& w) {
    list_key& place = active_[draw(active_lists)];
    list_key const key = place;
    if (one_in(2)) {
      auto const list = read(w, key);
      w.open.read(key, list);
      w.reads.push_back(key);
      if (list.size() >= longest && place == key) { place = make_list(); }
      return;
    }
    list_value const value = ++last_value_;
    w.open.append(key, value);
    auto own = staged(w, key);
    if (own == w.writes.end()) {
      w.writes.push_back({key, as_of(key, w.snapshot)});
      own = w.writes.end() - 1;
    } else if (plants(planted::intermediate_visible) && own->already == 0 &&
               lists_[key].reserved <= w.snapshot && newest_ == last_epoch_) {
      own->already = ++last_epoch_;
      lists_[key].reserved = own->already;
      put(*own, own->already);
      publish(own->already);
    }
    own->list.push_back(value);
  }

  [[nodiscard]] std::vector<staged_list>::iterator staged(writer& w, list_key key) const {
    return std::find_if(w.writes.begin(), w.writes.end(),
                        [&](staged_list const& s) { return s.key == key; });
  }
  [[nodiscard]] std::vector<list_value> read(writer& w, list_key key) {
    auto const own = staged(w, key);
    if (own != w.writes.end() && !plants(planted::own_writes_unseen)) { return own->list; }
    if (plants(planted::dirty_read)) {
      for (writer& other : writers_) {
        auto const dirty = staged(other, key);
        if (&other != &w && other.at == phase::running && dirty != other.writes.end()) {
          return dirty->list;
        }
      }
    }
    std::uint64_t epoch = w.snapshot;
    if (plants(planted::fractured_snapshot)) { epoch = newest_; }
    if (plants(planted::uneven_snapshot) && (key + number_of(w)) % 2 != 0) {
      epoch -= std::min<std::uint64_t>(epoch, 2);
    }
    return as_of(key, epoch);
  }
  [[nodiscard]] std::vector<list_value> as_of(list_key key, std::uint64_t epoch) const {
    auto const& all = lists_[key].versions;
    auto const seen =
        std::find_if(all.rbegin(), all.rend(), [&](version const& v) { return v.epoch <= epoch; });
    return seen == all.rend() ? std::vector<list_value>{} : seen->list;
  }

  /// Whether the lists of a transaction are as they were, as far as it must be.
  [[nodiscard]] bool is_valid(writer& w) const {
    auto const unchanged = [&](list_key key) {
      std::uint64_t const newest = lists_[key].reserved;
      auto const own = staged(w, key);
      return newest <= w.snapshot || (own != w.writes.end() && own->already == newest);
    };
    bool const reads = plants(planted::no_read_validation) ||
                       std::all_of(w.reads.begin(), w.reads.end(), unchanged);
    bool const writes = plants(planted::no_write_validation) ||
                        std::all_of(w.writes.begin(), w.writes.end(),
                                    [&](staged_list const& s) { return unchanged(s.key); });
    return reads && writes;
  }

  void commit(writer& w) {
    // who only reads is as of its snapshot, whatever has happened since
    if (w.writes.empty()) { return end(w, outcome::committed); }
    if (!is_valid(w)) { return end(w, outcome::aborted); }
    if (plants(planted::lost_commit) && one_in(64)) { return end(w, outcome::committed); }
    if (plants(planted::late_reservation)) {
      w.at = phase::reserving;
      return;
    }
    reserve(w);
  }
  void abort(writer& w) {
    if (plants(planted::aborted_visible) && !w.writes.empty() && is_valid(w)) {
      w.will_tell = outcome::aborted;
      return reserve(w);
    }
    end(w, outcome::aborted);
  }
  void reserve(writer& w) {
    w.epoch = ++last_epoch_;
    for (staged_list const& s : w.writes) { lists_[s.key].reserved = w.epoch; }
    w.at = phase::installing;
    if (plants(planted::publish_before_install)) { publish(w.epoch); }
  }
  void install(writer& w) {
    staged_list& s = w.writes[w.installed++];
    if (plants(planted::installed_twice) && one_in(64)) { s.list.push_back(s.list.back()); }
    put(s, w.epoch);
    if (w.installed == w.writes.size()) { w.at = phase::publishing; }
  }
  void publish(writer& w) {
    if (plants(planted::early_publish)) {
      newest_ = std::max(newest_, w.epoch);
    } else if (newest_ < w.epoch && !plants(planted::publish_before_install)) {
      if (newest_ + 1 != w.epoch) { return; }
      newest_ = w.epoch;
    }
    for (staged_list const& s : w.writes) { release(lists_[s.key]); }
    end(w, w.will_tell);
  }
  void publish(std::uint64_t epoch) { newest_ = std::max(newest_, epoch); }

  /// Versions stand in the order of their epochs, in whatever order they are made.
  void put(staged_list const& s, std::uint64_t epoch) {
    auto& all = lists_[s.key].versions;
    auto const after =
        std::find_if(all.begin(), all.end(), [&](version const& v) { return v.epoch > epoch; });
    all.insert(after, {epoch, s.list});
  }
  /// Gives back what no snapshot can reach, nor one of the last few epochs.
  void release(slot& s) {
    std::uint64_t oldest = newest_ - std::min<std::uint64_t>(newest_, 4);
    for (writer const& w : writers_) {
      if (w.at != phase::idle) { oldest = std::min(oldest, w.snapshot); }
    }
    auto& all = s.versions;
    auto const later =
        std::find_if(all.begin(), all.end(), [&](version const& v) { return v.epoch > oldest; });
    if (later - all.begin() > 1) { all.erase(all.begin(), later - 1); }
    if (plants(planted::early_release) && all.size() > 2) {
      all.erase(all.begin() + 1, all.end() - 1);
    }
  }

  void end(writer& w, outcome how) {
    w.open.end(w.will_tell == outcome::unknown ? outcome::unknown : how, time_);
    w.done.add(w.open);
    w.at = phase::idle;
    ++ended_;
  }

  millrace::core::xoshiro_rng dice_;
  planted bug_;
  std::vector<slot> lists_;
  std::array<list_key, active_lists> active_;
  std::array<writer, writers> writers_;
  std::uint64_t newest_ = 0, last_epoch_ = 0, time_ = 0;
  std::uint32_t ended_ = 0;
  list_value last_value_ = 0;
};

}  // namespace millrace_test::isolation
