// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "examples/revalue/desks.hpp"
#include "examples/revalue/instruction_set.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace revalue::test {

/// One option alone in a block, priced by the body that all paths share.
struct lone_option {
  option_block block{};
  value_block values{};

  lone_option(bool call, double strike, double years, double vol, double rate, double dividend) {
    block.sign[0] = call ? 1 : -1;
    block.log_strike[0] = logarithm(strike);
    block.strike_value[0] = strike * exponential(-rate * years);
    block.dividend_discount[0] = exponential(-dividend * years);
    block.years[0] = years;
    block.root_years[0] = std::sqrt(years);
    block.quantity[0] = 1;
    set_volatility(block, 0, vol, rate, dividend);
    rate_ = rate;
    dividend_ = dividend;
  }

  [[nodiscard]] double price(double spot) {
    price_lane(block, market::at(spot, rate_, dividend_), values, 0);
    return values.value[0];
  }

 private:
  double rate_;
  double dividend_;
};

/// A file that is gone with its scope.
class temporary_file {
 public:
  explicit temporary_file(std::string const& text, std::string const& name = "input.csv")
      : folder_(std::filesystem::temp_directory_path() /
                ("millrace_revalue_" + std::to_string(::getpid()) + "_" +
                 std::to_string(reinterpret_cast<std::uintptr_t>(this)))),
        path_((folder_ / name).string()) {
    std::filesystem::create_directories(folder_);
    std::ofstream(path_, std::ios::binary) << text;
  }
  temporary_file(temporary_file const&) = delete;
  temporary_file& operator=(temporary_file const&) = delete;
  ~temporary_file() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  [[nodiscard]] std::string text() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::filesystem::path folder_;
  std::string path_;
};

}  // namespace revalue::test
