// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <vector>

namespace millrace::inline v0::queue {

/// What the driver loads at run time.
enum class code_kind : std::uint8_t { cubin, fatbin, ptx };

/// Tells which kind of code bytes are, and whether all of it is there. The driver is given an
/// address without a length, so what is cut short must not reach it.
/// @error errc::bad_argument, native 1 for bytes that are no code, 2 for code that is cut short
/// @thread any   @cost PTX: a search for its first directive
[[nodiscard]] inline result<code_kind> kind_of_code(std::span<std::byte const> code) noexcept {
  auto const read = [&](std::size_t at, auto& into) noexcept {
    if (code.size() < at + sizeof into) { return false; }
    std::memcpy(&into, code.data() + at, sizeof into);
    return true;
  };
  auto const cut = core::fail(errc::bad_argument, 2);
  std::uint32_t magic = 0;
  if (!read(0, magic)) { return core::fail(errc::bad_argument, 1); }
  if (magic == 0x464c457fu) {  // "\x7f" "ELF", little-endian, 64 bits: tables of headers of 64 B
    std::uint64_t programs_at = 0, sections_at = 0;
    std::uint16_t program_bytes = 0, programs = 0, section_bytes = 0, sections = 0;
    if (!read(32, programs_at) || !read(40, sections_at) || !read(54, program_bytes) ||
        !read(56, programs) || !read(58, section_bytes) || !read(60, sections) ||
        code.size() < 64) {
      return cut;
    }
    auto const holds = [&](std::uint64_t at, std::uint64_t bytes) noexcept {
      return at <= code.size() && bytes <= code.size() - at;
    };
    bool whole = holds(programs_at, std::uint64_t{program_bytes} * programs) &&
                 holds(sections_at, std::uint64_t{section_bytes} * sections);
    for (std::uint64_t s = 0; whole && section_bytes >= 64 && s < sections; ++s) {
      std::uint32_t type = 0;
      std::uint64_t at = 0, bytes = 0;
      std::uint64_t const header = sections_at + s * section_bytes;
      constexpr std::uint32_t without_bytes = 8;  // SHT_NOBITS
      whole = read(header + 4, type) && read(header + 24, at) && read(header + 32, bytes) &&
              (type == without_bytes || holds(at, bytes));
    }
    if (!whole) { return cut; }
    return code_kind::cubin;
  }
  if (magic == 0xba55ed50u) {  // then a version, the header's bytes, and those behind it
    std::uint16_t header_bytes = 0;
    std::uint64_t bytes = 0;
    if (!read(6, header_bytes) || !read(8, bytes)) { return cut; }
    if (header_bytes > code.size() || bytes > code.size() - header_bytes) { return cut; }
    return code_kind::fatbin;
  }
  std::string_view const text(reinterpret_cast<char const*>(code.data()), code.size());
  auto const printable = [](char c) noexcept {
    return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t' || (c & 0x80) != 0;
  };
  std::string_view const words = text.substr(0, text.find('\0'));
  if (words.find(".version") == std::string_view::npos ||
      !std::all_of(words.begin(), words.end(), printable)) {
    return core::fail(errc::bad_argument, 1);
  }
  return code_kind::ptx;
}

/// All bytes of a file.
/// @error errc::native_failure with errno; errc::out_of_memory
[[nodiscard]] inline result<std::vector<std::byte>> read_code(char const* path) noexcept {
  auto const close = [](std::FILE* file) noexcept { static_cast<void>(std::fclose(file)); };
  std::unique_ptr<std::FILE, decltype(close)> const file(std::fopen(path, "rb"), close);
  auto const failed = []() noexcept {
    return core::fail(errc::native_failure, core::origin::posix, errno);
  };
  if (file == nullptr) { return failed(); }
  try {
    std::vector<std::byte> out;
    constexpr std::size_t piece = std::size_t{64} << 10;
    for (std::size_t got = piece; got == piece;) {
      std::size_t const before = out.size();
      out.resize(before + piece);
      got = std::fread(out.data() + before, 1, piece, file.get());
      out.resize(before + got);
    }
    if (std::ferror(file.get()) != 0) { return failed(); }
    return out;
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

}  // namespace millrace::inline v0::queue
