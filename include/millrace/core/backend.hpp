// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::inline v0::core {

/// What kind of processor runs the workers. Values are frozen.
enum class backend_kind : std::uint8_t { automatic = 0, host = 1, cuda = 2 };

/// Where workers run: host threads, one CUDA device by its ordinal, or whichever of them there is.
/// A value of 8 bytes; it owns nothing and asks nothing of the machine.
class backend {
 public:
  /// Automatic.
  backend() noexcept = default;

  /// The first usable CUDA device, host threads when there is none; `core::resolve` decides.
  [[nodiscard]] static MILLRACE_HD constexpr backend automatic() noexcept {
    return {backend_kind::automatic, 0};
  }
  /// Threads of this process.
  [[nodiscard]] static MILLRACE_HD constexpr backend host() noexcept {
    return {backend_kind::host, 0};
  }
  /// The CUDA device `ordinal`, counted as the driver counts (after CUDA_VISIBLE_DEVICES).
  [[nodiscard]] static MILLRACE_HD constexpr backend cuda(std::int32_t ordinal) noexcept {
    return {backend_kind::cuda, ordinal};
  }

  [[nodiscard]] MILLRACE_HD constexpr backend_kind kind() const noexcept { return kind_; }
  /// The device's ordinal; 0 unless kind() is cuda.
  [[nodiscard]] MILLRACE_HD constexpr std::int32_t ordinal() const noexcept { return ordinal_; }

  [[nodiscard]] friend MILLRACE_HD constexpr bool operator==(backend a, backend b) noexcept {
    return a.kind_ == b.kind_ && a.ordinal_ == b.ordinal_;
  }

 private:
  MILLRACE_HD constexpr backend(backend_kind kind, std::int32_t ordinal) noexcept
      : kind_{kind}, ordinal_{ordinal} {}

  backend_kind kind_ = backend_kind::automatic;
  std::int32_t ordinal_ = 0;
};
static_assert(sizeof(backend) == 8);

/// "automatic", "host threads" or "CUDA device 0".
/// @cost may allocate a string; host only
[[nodiscard]] inline std::string describe(backend where) {
  switch (where.kind()) {
    case backend_kind::automatic: return "automatic";
    case backend_kind::host: return "host threads";
    case backend_kind::cuda: break;
  }
  return "CUDA device " + std::to_string(where.ordinal());
}

/// Reads "auto", "host", "cuda" (device 0) or "cuda:N".
/// @error errc::bad_argument for anything else
[[nodiscard]] inline result<backend> parse_backend(std::string_view text) noexcept {
  if (text == "auto") { return backend::automatic(); }
  if (text == "host") { return backend::host(); }
  if (text == "cuda") { return backend::cuda(0); }
  constexpr std::string_view prefix = "cuda:";
  if (!text.starts_with(prefix)) { return fail(errc::bad_argument, 1); }
  char const* const first = text.data() + prefix.size();
  char const* const last = text.data() + text.size();
  std::int32_t ordinal = -1;
  auto const [end, status] = std::from_chars(first, last, ordinal);
  if (status != std::errc{} || end != last || ordinal < 0 || *first == '-') {
    return fail(errc::bad_argument, 1);
  }
  return backend::cuda(ordinal);
}

}  // namespace millrace::inline v0::core
