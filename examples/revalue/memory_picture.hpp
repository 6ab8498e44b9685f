// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "csv.hpp"
#include <millrace/core/clock.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/occupancy.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/memory/heatmap.hpp>
#include <millrace/observe/heatmap_picture.hpp>
#include <millrace/observe/picture.hpp>
#include <millrace/observe/series_picture.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace revalue {

/// Looks at the memory of a run from time to time, and writes an HTML page that shows where its
/// bytes lay when most was in use, and how much there was of which size over time. Of a long run it
/// keeps fewer looks, ever further apart, so that what it takes is bounded.
class memory_picture {
 public:
  /// Opens `path` for writing, before any work; empty: there will be no picture.
  explicit memory_picture(std::string path) : path_(std::move(path)) {
    if (path_.empty()) { return; }
    file_.reset(std::fopen(path_.c_str(), "wb"));
    if (!file_) { complain(std::strerror(errno)); }
  }

  [[nodiscard]] std::optional<complaint> const& problem() const noexcept { return problem_; }

  static constexpr std::size_t most_looks = 4096;

  /// Takes a map of the heap when the last is a millisecond old, of a long run some, or `now`.
  void look(millrace::memory::heap<> const& from, bool now = false) {
    if (!file_) { return; }
    std::uint64_t const time = millrace::core::steady_clock::now_ns();
    if (!now && time - looked_ < apart_ns_) { return; }
    looked_ = time;
    if (!millrace::memory::take_map(from, next_)) { throw std::bad_alloc(); }
    if (series_.samples.size() == most_looks) { keep_every_second(); }
    std::uint64_t const live = millrace::core::fragmentation_of(next_).live_bytes;
    if (live >= most_) {
      most_ = live;
      std::swap(fullest_, next_);
      series_.add(fullest_);
    } else {
      series_.add(next_);
    }
  }
  /// Looks that are kept.
  [[nodiscard]] std::size_t looks() const noexcept { return series_.samples.size(); }

  /// Writes the page and closes the file. @param note  what ran
  void write(std::string_view note) {
    if (!file_) { return; }
    auto const map = millrace::observe::draw_map(
        fullest_, {.title = "revalue: the state's memory when most was in use", .note = note});
    auto const series = millrace::observe::draw_series(
        series_, {.title = "revalue: the state's memory over time", .note = note});
    if (!map || !series) { throw std::bad_alloc(); }
    std::array<std::string, 2> const pictures{*map, *series};
    auto const page = millrace::observe::page_of("The memory of a revalue run", pictures);
    if (!page) { throw std::bad_alloc(); }
    bool const all = std::fwrite(page->data(), 1, page->size(), file_.get()) == page->size();
    if (!all || std::fflush(file_.get()) != 0) { complain(std::strerror(errno)); }
    file_.reset();
  }

 private:
  void keep_every_second() {
    auto& samples = series_.samples;
    for (std::size_t i = 1; i < samples.size() / 2; ++i) { std::swap(samples[i], samples[2 * i]); }
    samples.resize(samples.size() / 2);
    apart_ns_ *= 2;
  }
  void complain(char const* why) { problem_ = complaint{path_ + ": cannot be written: " + why}; }

  struct closer {
    void operator()(std::FILE* file) const noexcept { static_cast<void>(std::fclose(file)); }
  };

  std::string path_;
  std::unique_ptr<std::FILE, closer> file_;
  std::optional<complaint> problem_;
  std::uint64_t looked_ = 0;
  std::uint64_t apart_ns_ = 1'000'000;
  std::uint64_t most_ = 0;
  millrace::core::occupancy_map next_, fullest_;
  millrace::core::occupancy_series series_;
};

}  // namespace revalue
