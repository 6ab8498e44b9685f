// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace revalue {

/// What is wrong with an input, in words that name the place.
struct complaint {
  std::string text;
};

/// A whole CSV file, read line by line: a header of names, then as many fields in each line. Fields
/// hold no quotes and no commas. Lines end in \n or \r\n; the last one may end without.
///
/// The first problem stops it: `problem()` then says file, line, column and what was expected, and
/// every later `next()` says that there are no more lines.
class csv {
 public:
  /// Reads `path` whole and its header; look at `problem()` afterwards.
  explicit csv(std::string path) : path_(std::move(path)) {
    read();
    if (problem_) { return; }
    if (text_.empty()) {
      problem_ = complaint{path_ + ": the file is empty; expected a CSV with a header line"};
      return;
    }
    if (!take_line()) { return; }
    split();
    for (auto const& field : fields_) { names_.emplace_back(field); }
  }
  csv(csv const&) = delete;
  csv& operator=(csv const&) = delete;

  [[nodiscard]] std::optional<complaint> const& problem() const noexcept { return problem_; }
  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  /// The number of the line that `next` moved to; the header is line 1.
  [[nodiscard]] std::size_t line() const noexcept { return line_; }

  /// The place of a column, by its name in the header.
  [[nodiscard]] std::optional<std::size_t> find(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == name) { return i; }
    }
    return std::nullopt;
  }

  /// The place of a column that must be there.
  [[nodiscard]] std::size_t require(std::string_view name) {
    if (auto const at = find(name)) { return *at; }
    if (!problem_) {
      problem_ = complaint{path_ + ":1:1: expected a header with a column '" + std::string(name) +
                           "'; found '" + joined_names() + "'"};
    }
    return 0;
  }

  /// Moves to the next line that is not blank. False after the last, and after a problem.
  [[nodiscard]] bool next() {
    do {
      if (problem_ || !take_line()) { return false; }
    } while (current_.empty());
    split();
    if (fields_.size() != names_.size()) {
      std::size_t const last = fields_.size() < names_.size() ? fields_.size() : names_.size();
      std::size_t const column =
          fields_.size() < names_.size() ? current_.size() + 1 : offset(last) + 1;
      stop(column, std::to_string(names_.size()) + " fields (" + joined_names() + "), found " +
                       std::to_string(fields_.size()));
      return false;
    }
    return true;
  }

  [[nodiscard]] std::string_view field(std::size_t column) const noexcept {
    return column < fields_.size() ? fields_[column] : std::string_view{};
  }
  [[nodiscard]] bool empty(std::size_t column) const noexcept { return field(column).empty(); }

  /// The field as a number; a problem, and 0, when it is none.
  template <class Number>
  [[nodiscard]] Number number(std::size_t column) {
    std::string_view const text = field(column);
    Number value{};
    auto const [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc{} || end != text.data() + text.size()) {
      constexpr char const* kind = std::is_integral_v<Number> ? "an integer" : "a number";
      expected(column, kind);
      return {};
    }
    return value;
  }

  /// Says that the field of the current line should have been something else.
  void expected(std::size_t column, std::string const& what) {
    stop(offset(column) + 1,
         what + " for '" + names_[column] + "', found '" + std::string(field(column)) + "'");
  }

 private:
  void read() {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen(path_.c_str(), "rb"),
                                                               &std::fclose);
    if (!file) {
      problem_ = complaint{path_ + ": cannot be opened: " + std::strerror(errno)};
      return;
    }
    char part[1 << 16];
    for (std::size_t got; (got = std::fread(part, 1, sizeof part, file.get())) != 0;) {
      text_.append(part, got);
    }
    if (std::ferror(file.get()) != 0) {
      problem_ = complaint{path_ + ": cannot be read: " + std::strerror(errno)};
    }
  }

  [[nodiscard]] bool take_line() noexcept {
    if (at_ >= text_.size()) { return false; }
    std::size_t const end = text_.find('\n', at_);
    std::size_t const stop = end == std::string::npos ? text_.size() : end;
    current_ = std::string_view(text_).substr(at_, stop - at_);
    if (current_.ends_with('\r')) { current_.remove_suffix(1); }
    at_ = stop + 1;
    ++line_;
    return true;
  }

  void split() {
    fields_.clear();
    std::string_view rest = current_;
    for (;;) {
      std::size_t const comma = rest.find(',');
      fields_.push_back(rest.substr(0, comma));
      if (comma == std::string_view::npos) { return; }
      rest.remove_prefix(comma + 1);
    }
  }

  /// Characters of the line before a field.
  [[nodiscard]] std::size_t offset(std::size_t column) const noexcept {
    return static_cast<std::size_t>(fields_[column].data() - current_.data());
  }

  void stop(std::size_t column, std::string const& what) {
    if (problem_) { return; }
    problem_ = complaint{path_ + ":" + std::to_string(line_) + ":" + std::to_string(column) +
                         ": expected " + what};
  }

  [[nodiscard]] std::string joined_names() const {
    std::string text;
    for (auto const& name : names_) { text += (text.empty() ? "" : ",") + name; }
    return text;
  }

  std::string path_;
  std::string text_;
  std::size_t at_ = 0;
  std::size_t line_ = 0;
  std::string_view current_;
  std::vector<std::string_view> fields_;
  std::vector<std::string> names_;
  std::optional<complaint> problem_;
};

}  // namespace revalue
