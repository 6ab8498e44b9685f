// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "anomaly.hpp"
#include "components.hpp"
#include "history.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace millrace_test::isolation {

/// Who has appended a value, and where it came to stand.
struct appended {
  std::uint32_t by = none;
  list_key key = 0;
  std::uint32_t place = none;  ///< among the versions of its list
  bool last = false;           ///< of what its transaction appends to the list
};

/// The versions of each list, in the order that the longest read of it tells; and what is wrong
/// with single reads and appends.
class versions {
 public:
  struct unread_append {
    std::uint32_t by;
    list_value value;
  };

  /// @param opaque reads of aborted transactions count, too
  versions(history const& of, order by, bool opaque, report& to)
      : of_{of},
        by_{by},
        opaque_{opaque},
        to_{to},
        told_(of.operations().size(), none),
        writes_(of.size()) {
    for (operation const& o : of_.operations()) {
      keys_ = std::max(keys_, o.key + 1);
      if (o.appends() && o.value() >= appended_.size()) { appended_.resize(o.value() + 1); }
    }
    longest_.resize(keys_);
    sound_.resize(keys_, 0);
    first_aborted_.resize(keys_, none);
    take_appends();
    take_reads();
    for (list_key key = 0; key < keys_; ++key) { take_versions(key); }
    compare_reads();
    take_unread();
  }

  [[nodiscard]] history const& of() const noexcept { return of_; }
  [[nodiscard]] std::uint32_t keys() const noexcept { return keys_; }
  /// Whether a transaction's appends count: one of unknown end has committed if they were read.
  [[nodiscard]] bool writes(std::uint32_t t) const noexcept { return writes_[t]; }
  /// Whether its reads count.
  [[nodiscard]] bool reads(std::uint32_t t) const noexcept {
    return of_[t].ended == outcome::committed || (opaque_ && of_[t].ended == outcome::aborted);
  }
  /// @pre the value is one of a list's versions, or unread
  [[nodiscard]] appended const& append_of(list_value v) const noexcept { return appended_[v]; }
  [[nodiscard]] bool known(list_value v, list_key key) const noexcept {
    return v < appended_.size() && appended_[v].by != none && appended_[v].key == key;
  }
  [[nodiscard]] std::span<list_value const> operator[](list_key key) const noexcept {
    return longest_[key].first(sound_[key]);
  }
  /// What committed transactions have appended to a list and nobody has read: versions after all
  /// others, in an order that none knows. By transaction, its last value.
  [[nodiscard]] std::span<unread_append const> unread(list_key key) const noexcept {
    return std::span(unread_).subspan(unread_begin_[key],
                                      unread_begin_[key + 1] - unread_begin_[key]);
  }
  /// How many versions a read has seen; `none` if it contradicts them, or does not count.
  /// @param o the operation's number among all
  [[nodiscard]] std::uint32_t told(std::uint64_t o) const noexcept { return told_[o]; }

 private:
  [[nodiscard]] static std::string name(std::uint32_t t) { return "T" + std::to_string(t); }
  [[nodiscard]] std::string words(std::uint32_t t, operation const& read) const {
    std::string text = name(t) + " read key " + std::to_string(read.key) + " as [";
    for (list_value v : of_.list(read)) {
      text += (text.back() == '[' ? "" : " ") + std::to_string(v);
    }
    return text + "]";
  }
  [[nodiscard]] bool aborted(list_value v) const noexcept {
    return of_[appended_[v].by].ended == outcome::aborted;
  }

  void take_appends() {
    std::vector<std::uint32_t> last_by(keys_, none);
    for (std::uint32_t t = 0; t < of_.size(); ++t) {
      writes_[t] = of_[t].ended == outcome::committed;
      auto const all = of_.operations(t);
      for (std::size_t k = all.size(); k-- > 0;) {
        operation const& o = all[k];
        if (!o.appends()) { continue; }
        appended& a = appended_[o.value()];
        if (a.by != none) {
          to_.add(anomaly::duplicate, order::none, [&] {
            return name(a.by) + " and " + name(t) + " append " + std::to_string(o.value());
          });
          continue;
        }
        a = {t, o.key, none, last_by[o.key] != t};
        last_by[o.key] = t;
      }
    }
  }

  /// What a transaction has done to one list so far.
  struct so_far {
    std::uint32_t by = none;
    std::uint32_t own = 0;  ///< appends
    std::uint32_t own_at_read = 0;
    operation const* read = nullptr;
  };

  /// Each read against what its transaction has read and appended before; and the longest of all.
  void take_reads() {
    std::vector<so_far> lists(keys_);
    for (std::uint32_t t = 0; t < of_.size(); ++t) {
      if (!reads(t)) { continue; }
      auto const all = of_.operations(t);
      for (std::size_t k = 0; k < all.size(); ++k) {
        so_far& now = lists[all[k].key];
        if (now.by != t) { now = {t}; }
        if (all[k].appends()) {
          ++now.own;
        } else {
          take_read(t, all.first(k), all[k], now);
        }
      }
    }
  }
  void take_read(std::uint32_t t, std::span<operation const> before, operation const& read,
                 so_far& now) {
    auto const list = of_.list(read);
    bool const own_is_there = ends_with_own(t, before, read, now.own);
    bool repeats = true;
    if (now.read != nullptr) {
      auto const earlier = of_.list(*now.read);
      repeats = list.size() == earlier.size() + now.own - now.own_at_read &&
                std::equal(earlier.begin(), earlier.end(), list.begin());
    }
    if (!own_is_there || !repeats) {
      to_.add(anomaly::internal, order::none, [&] {
        return words(t, read) + (own_is_there ? ", and differently before"
                                              : ", and its own appends are not at the end");
      });
    }
    now.read = &read;
    now.own_at_read = now.own;
    // what an aborted transaction has appended is no version
    bool const all_of_it = of_[t].ended == outcome::committed || !own_is_there;
    std::size_t const told = all_of_it ? list.size() : list.size() - now.own;
    told_[static_cast<std::size_t>(&read - of_.operations().data())] =
        static_cast<std::uint32_t>(told);
    if (told > longest_[read.key].size()) { longest_[read.key] = list.first(told); }
  }
  /// Whether a list ends with what its reader has appended to it so far, and with nothing that it
  /// appends later.
  [[nodiscard]] bool ends_with_own(std::uint32_t t, std::span<operation const> before,
                                   operation const& read, std::uint32_t own) const {
    auto const list = of_.list(read);
    if (list.size() < own) { return false; }
    std::size_t place = list.size();
    for (std::size_t k = before.size(); own != 0; --own) {
      for (--k; !before[k].appends() || before[k].key != read.key;) { --k; }
      if (list[--place] != before[k].value()) { return false; }
    }
    return place == 0 || !known(list[place - 1], read.key) || appended_[list[place - 1]].by != t;
  }

  void take_versions(list_key key) {
    auto const list = longest_[key];
    for (std::uint32_t place = 0; place < list.size(); sound_[key] = ++place) {
      list_value const v = list[place];
      if (!known(v, key)) {
        to_.add(anomaly::garbage, order::none,
                [&] { return "key " + std::to_string(key) + " holds " + std::to_string(v); });
        return;
      }
      appended& a = appended_[v];
      if (a.place != none) {
        to_.add(anomaly::duplicate, order::none, [&] {
          return "key " + std::to_string(key) + " holds " + std::to_string(v) + " twice";
        });
        return;
      }
      a.place = place;
      if (aborted(v)) {
        first_aborted_[key] = std::min(first_aborted_[key], place);
      } else {
        writes_[a.by] = true;
        if (place != 0 && aborted(list[place - 1])) {
          to_.add(anomaly::dirty_update, order::none, [&] {
            return name(a.by) + " appends " + std::to_string(v) + " to key " + std::to_string(key) +
                   " after " + std::to_string(list[place - 1]) + " of " +
                   name(appended_[list[place - 1]].by) + ", which has aborted";
          });
        }
      }
    }
  }

  /// Each read against the versions.
  void compare_reads() {
    latest_read_.resize(keys_, 0);
    for (std::uint32_t t = 0; t < of_.size(); ++t) {
      if (!reads(t)) { continue; }
      for (operation const& o : of_.operations(t)) {
        if (o.appends()) { continue; }
        latest_read_[o.key] = std::max(latest_read_[o.key], of_[t].begin);
        compare_read(t, o);
      }
    }
  }
  void compare_read(std::uint32_t t, operation const& read) {
    std::uint32_t& told = told_[static_cast<std::size_t>(&read - of_.operations().data())];
    auto const list = of_.list(read).first(told);
    auto const all = longest_[read.key];
    std::uint32_t dirty = first_aborted_[read.key];
    if (list.size() > all.size() || !std::equal(list.begin(), list.end(), all.begin())) {
      to_.add(anomaly::incompatible_order, order::none,
              [&] { return words(t, read) + ", which others have not"; });
      told = none;
      dirty = 0;
      while (dirty < list.size() && !(known(list[dirty], read.key) && aborted(list[dirty]))) {
        ++dirty;
      }
    }
    if (dirty < list.size()) {
      to_.add(anomaly::g1a, order::none, [&] {
        return words(t, read) + ", and " + name(appended_[list[dirty]].by) + " has aborted";
      });
    }
    if (told != none) { told = std::min(told, sound_[read.key]); }
    if (list.empty() || !known(list.back(), read.key)) { return; }
    appended const& newest = appended_[list.back()];
    if (newest.by != t && !newest.last) {
      to_.add(anomaly::g1b, order::none, [&] {
        return words(t, read) + ", after which " + name(newest.by) + " appends more";
      });
    }
  }

  void take_unread() {
    std::vector<std::uint32_t> last_by(keys_, none);
    unread_begin_.resize(keys_ + 1, 0);
    auto const visit = [&](auto&& see) {
      std::fill(last_by.begin(), last_by.end(), none);
      for (std::uint32_t t = 0; t < of_.size(); ++t) {
        if (of_[t].ended != outcome::committed) { continue; }
        for (operation const& o : of_.operations(t)) {
          if (!o.appends() || appended_[o.value()].place != none) { continue; }
          see(t, o, last_by[o.key] != t);
          last_by[o.key] = t;
        }
      }
    };
    visit([&](std::uint32_t t, operation const& o, bool first) {
      unread_begin_[o.key + 1] += first ? 1 : 0;
      if (by_ == order::realtime && latest_read_[o.key] > of_[t].end) {
        to_.add(anomaly::lost_append, by_, [&] {
          return name(t) + " has appended " + std::to_string(o.value()) + " to key " +
                 std::to_string(o.key) + ", and who began later has not read it";
        });
      }
    });
    for (list_key key = 0; key < keys_; ++key) { unread_begin_[key + 1] += unread_begin_[key]; }
    unread_.resize(unread_begin_[keys_]);
    std::vector<std::uint32_t> next(unread_begin_.begin(), unread_begin_.end() - 1);
    visit([&](std::uint32_t t, operation const& o, bool first) {
      next[o.key] += first ? 1 : 0;
      unread_[next[o.key] - 1] = {t, o.value()};
    });
  }

  history const& of_;
  order by_;
  bool opaque_;
  report& to_;
  std::uint32_t keys_ = 0;
  std::vector<appended> appended_;
  std::vector<std::span<list_value const>> longest_;
  std::vector<std::uint32_t> sound_;  ///< how many of its values are versions
  std::vector<std::uint32_t> first_aborted_;
  std::vector<std::uint64_t> latest_read_;  ///< when it began
  std::vector<std::uint32_t> told_;
  std::vector<bool> writes_;
  std::vector<unread_append> unread_;
  std::vector<std::uint32_t> unread_begin_;
};

}  // namespace millrace_test::isolation
