// SPDX-License-Identifier: Apache-2.0
// What clients of a store of lists have seen: each transaction appends values to lists and reads
// whole lists. As a value is appended once only, a list that was read tells who wrote it in which
// order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace millrace_test::isolation {

/// The checker keeps tables over keys and over values: both are small numbers.
using list_key = std::uint32_t;
using list_value = std::uint32_t;

/// What a client knows of its transaction's end.
enum class outcome : std::uint8_t { committed, aborted, unknown };

struct operation {
  static constexpr std::uint32_t is_append = ~std::uint32_t{0};

  std::uint64_t what = 0;  ///< the appended value, or where the list that was read begins
  std::uint32_t length = is_append;
  list_key key = 0;

  [[nodiscard]] bool appends() const noexcept { return length == is_append; }
  [[nodiscard]] list_value value() const noexcept { return static_cast<list_value>(what); }
};

/// @note times are of any clock that all processes share; all 0: nobody has looked at one
struct transaction {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t first = 0;
  std::uint32_t count = 0;
  std::uint32_t process = 0;
  outcome ended = outcome::unknown;
};

/// Transactions, those of one process in the order in which it has made them.
/// @thread one a history; those of several threads are joined by add
class history {
 public:
  void begin(std::uint32_t process, std::uint64_t time) {
    transactions_.push_back({time, time, operations_.size(), 0, process, outcome::unknown});
  }
  void append(list_key key, list_value value) { push({value, operation::is_append, key}); }
  void read(list_key key, std::span<list_value const> list) {
    push({values_.size(), static_cast<std::uint32_t>(list.size()), key});
    values_.insert(values_.end(), list.begin(), list.end());
  }
  void read(list_key key, std::initializer_list<list_value> list) {
    read(key, std::span(list.begin(), list.size()));
  }
  void end(outcome how, std::uint64_t time) {
    transactions_.back().ended = how;
    transactions_.back().end = time;
  }
  void reserve(std::size_t transactions, std::size_t operations, std::size_t values) {
    transactions_.reserve(transactions);
    operations_.reserve(operations);
    values_.reserve(values);
  }

  void add(history const& other) {
    for (transaction t : other.transactions_) {
      t.first += operations_.size();
      transactions_.push_back(t);
    }
    for (operation o : other.operations_) {
      if (!o.appends()) { o.what += values_.size(); }
      operations_.push_back(o);
    }
    values_.insert(values_.end(), other.values_.begin(), other.values_.end());
  }

  [[nodiscard]] std::uint32_t size() const noexcept {
    return static_cast<std::uint32_t>(transactions_.size());
  }
  [[nodiscard]] transaction const& operator[](std::uint32_t t) const noexcept {
    return transactions_[t];
  }
  [[nodiscard]] std::span<operation const> operations() const noexcept { return operations_; }
  [[nodiscard]] std::span<operation const> operations(std::uint32_t t) const noexcept {
    return operations().subspan(transactions_[t].first, transactions_[t].count);
  }
  /// What a read has found.
  [[nodiscard]] std::span<list_value const> list(operation const& read) const noexcept {
    return std::span(values_).subspan(read.what, read.length);
  }

 private:
  void push(operation o) {
    operations_.push_back(o);
    ++transactions_.back().count;
  }

  std::vector<transaction> transactions_;
  std::vector<operation> operations_;
  std::vector<list_value> values_;
};

}  // namespace millrace_test::isolation
