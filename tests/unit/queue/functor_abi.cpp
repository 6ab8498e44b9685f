// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "support.hpp"
#include <millrace/queue/device_code.hpp>
#include <millrace/queue/functor_abi.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

using namespace queue_test;
using queue::abi_field;
using queue::functor_abi;

struct scaled {
  uint64_t factor = 1;
  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(message.value() * factor);
    return queue::status::ok;
  }
};
struct base : queue::default_consumer<uint64_t, scaled> {};
/// The parameters of `scaled` as a program knows them that has not seen it.
struct factor_alone {
  uint64_t factor;
};

struct other_message : queue::default_consumer<std::uint32_t, twice_plus_one> {
  struct any {
    uint64_t factor = 1;
    MILLRACE_HD queue::status operator()(queue::message_view<std::uint32_t>,
                                         queue::reply_writer<uint64_t>&) const noexcept {
      return queue::status::ok;
    }
  };
  using processor = any;
};
struct silent {
  uint64_t factor = 1;
  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t>,
                                       queue::reply_writer<queue::no_reply>&) const noexcept {
    return queue::status::ok;
  }
};
struct other_reply : queue::default_consumer<uint64_t, silent> {
  using reply = queue::no_reply;
};
struct other_completions : other_reply {
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
};
struct other_claims : base {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct other_ingress : other_claims {
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::direct;
};
struct other_effects : base {
  static constexpr queue::effect_mode effects = queue::effect_mode::reply;
};
struct other_gang : base {
  static constexpr queue::width gang = queue::width::block;
};
struct other_threads : base {
  static constexpr int threads_per_block = 64;
};
struct other_backoff : base {
  using backoff = queue::spin_backoff;
};
struct other_batch : base {
  static constexpr std::uint32_t publish_batch = 8;
};
struct other_scope : base {
  using access = core::direct_access<cuda::thread_scope_device>;
};
struct other_cancellable : base {
  static constexpr bool cancellable = true;
};
struct leaving {
  uint64_t factor = 1;
  template <class Group>
  MILLRACE_HD queue::status operator()(Group, queue::message_view<uint64_t>,
                                       queue::reply_writer<uint64_t>&,
                                       queue::follow_up<uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct other_follow_ups : queue::default_consumer<uint64_t, leaving> {
  static constexpr queue::width processing = queue::width::warp;
  static constexpr std::uint32_t follow_ups = 3;
};
struct other_contract : base {
  static constexpr std::uint32_t contract = 2;
};
struct counting {
  uint64_t factor = 1;
  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t>,
                                       queue::reply_writer<uint64_t>&,
                                       uint64_t& count) const noexcept {
    ++count;
    return queue::status::ok;
  }
};
struct with_state : queue::default_consumer<uint64_t, counting> {
  using state = uint64_t;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct with_snapshots : with_state {
  static constexpr std::uint32_t snapshot_every = 4;
};
struct wide_probe {
  uint64_t words[2] = {};
  MILLRACE_HD void record(core::probe_event, uint64_t) noexcept {}
};
struct other_probe : base {
  using probe = wide_probe;
};
struct grouped {
  uint64_t factor = 1;
  template <class Group>
  MILLRACE_HD queue::status operator()(Group, queue::message_view<uint64_t>,
                                       queue::reply_writer<uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct by_warp : queue::default_consumer<uint64_t, grouped> {
  static constexpr queue::width processing = queue::width::warp;
};

template <class P, class Parameters = typename P::processor>
[[nodiscard]] functor_abi of() {
  return queue::functor_abi_of<queue::with_functor<P, Parameters>>();
}
/// The field for which `theirs` is refused; none when it is not.
[[nodiscard]] int refused(functor_abi const& ours, functor_abi const& theirs) {
  auto const answer = queue::compare(ours, theirs);
  if (answer) { return 0; }
  CHECK(answer.error().code == errc::layout_mismatch);
  return answer.error().native;
}
template <class Theirs, class Ours = base>
[[nodiscard]] bool refused_for(abi_field field) {
  return refused(of<Ours>(), queue::functor_abi_of<Theirs>()) == static_cast<int>(field);
}

[[nodiscard]] std::vector<std::byte> bytes_of(std::string const& text) {
  std::vector<std::byte> out(text.size());
  if (!text.empty()) { std::memcpy(out.data(), text.data(), text.size()); }
  return out;
}
template <class T>
void put(std::vector<std::byte>& into, std::size_t at, T value) {
  std::memcpy(into.data() + at, &value, sizeof value);
}
[[nodiscard]] int refused(std::vector<std::byte> const& code) {
  auto const kind = queue::kind_of_code(code);
  if (kind) { return 0; }
  CHECK(kind.error().code == errc::bad_argument);
  return kind.error().native;
}

}  // namespace

TEST_CASE("functor_abi: a consumer that knows the parameters alone expects what the module says") {
  CHECK(refused(of<base, factor_alone>(), queue::functor_abi_of<base>()) == 0);
  CHECK(refused(of<by_warp, factor_alone>(), queue::functor_abi_of<by_warp>()) == 0);
  CHECK(refused(of<with_snapshots, factor_alone>(), queue::functor_abi_of<with_snapshots>()) == 0);
}

TEST_CASE("functor_abi: every field on its own is refused by its number, the first one first") {
  functor_abi const ours = of<base>();
  for (std::uint32_t f = 1; f <= functor_abi::fields; ++f) {
    CAPTURE(f);
    auto const field = static_cast<abi_field>(f);
    CHECK(std::string(queue::describe(field)) != "unknown field");
    functor_abi theirs = ours;
    theirs[field] ^= 0x8000'0000u;
    CHECK(refused(ours, theirs) == static_cast<int>(f));
    theirs[field] = ours[field] + 1;
    CHECK(refused(ours, theirs) == static_cast<int>(f));
    for (std::uint32_t later = f + 1; later <= functor_abi::fields; ++later) {
      theirs[static_cast<abi_field>(later)] += 1;
    }
    CHECK(refused(ours, theirs) == static_cast<int>(f));
  }
  CHECK(refused(ours, functor_abi{}) == static_cast<int>(abi_field::magic));
  CHECK(std::string(queue::describe(static_cast<abi_field>(functor_abi::fields + 1))) ==
        "unknown field");
}

TEST_CASE("functor_abi: policies that differ in one thing are told apart by it") {
  CHECK(refused_for<other_message>(abi_field::message_bytes));
  CHECK(refused_for<other_reply>(abi_field::reply_bytes));
  CHECK(refused_for<other_completions, other_reply>(abi_field::completions));
  CHECK(refused_for<other_claims>(abi_field::claims));
  CHECK(refused_for<other_ingress, other_claims>(abi_field::ingress));
  CHECK(refused_for<other_effects>(abi_field::effects));
  CHECK(refused_for<by_warp>(abi_field::processing));
  CHECK(refused_for<other_threads>(abi_field::threads_per_block));
  CHECK(refused_for<other_gang>(abi_field::gang));
  CHECK(refused(of<base>(), queue::functor_abi_of<other_backoff>()) == 0);  // devices never sleep
  CHECK(refused_for<other_batch>(abi_field::publish_batch));
  CHECK(refused_for<other_cancellable>(abi_field::cancellable));
  CHECK(refused_for<other_follow_ups, by_warp>(abi_field::follow_ups));
  CHECK(refused(of<other_follow_ups, factor_alone>(), queue::functor_abi_of<other_follow_ups>()) ==
        0);
  CHECK(refused_for<other_scope>(abi_field::scope));
  CHECK(refused_for<other_contract>(abi_field::contract));
  CHECK(refused_for<other_probe>(abi_field::probe_bytes));
  CHECK(refused_for<with_state>(abi_field::state_bytes));
  CHECK(refused_for<with_snapshots, with_state>(abi_field::record_stride));
  CHECK(refused(of<base, std::uint32_t>(), queue::functor_abi_of<base>()) ==
        static_cast<int>(abi_field::functor_bytes));
  CHECK(refused(of<base, std::array<char, 8>>(), queue::functor_abi_of<base>()) ==
        static_cast<int>(abi_field::functor_alignment));
}

TEST_CASE("device_code: what is no code is told from what is cut short") {
  CHECK(refused(std::vector<std::byte>{}) == 1);
  CHECK(refused(bytes_of("abc")) == 1);
  CHECK(refused(bytes_of("four and more words of a letter")) == 1);
  CHECK(refused(bytes_of("\x01.version 9.0\n")) == 1);
  CHECK(refused(std::vector<std::byte>(4096)) == 1);

  CHECK(queue::kind_of_code(bytes_of("//\n.version 9.0\n.target sm_75\n")) ==
        queue::code_kind::ptx);
  CHECK(queue::kind_of_code(bytes_of(std::string(".version 9.0\n\0\x01", 15))) ==
        queue::code_kind::ptx);

  std::vector<std::byte> fatbin(16 + 100);
  put(fatbin, 0, 0xba55ed50u);
  put(fatbin, 6, std::uint16_t{16});
  put(fatbin, 8, uint64_t{100});
  CHECK(queue::kind_of_code(fatbin) == queue::code_kind::fatbin);
  for (std::size_t bytes = 4; bytes < fatbin.size(); ++bytes) {
    CHECK(refused(std::vector<std::byte>(
              fatbin.begin(), fatbin.begin() + static_cast<std::ptrdiff_t>(bytes))) == 2);
  }
  put(fatbin, 8, ~uint64_t{0});
  CHECK(refused(fatbin) == 2);

  constexpr std::size_t sections_at = 64 + 32;  // a header, 32 bytes of a section, two headers
  std::vector<std::byte> cubin(sections_at + 128);
  put(cubin, 0, 0x464c457fu);
  put(cubin, 40, uint64_t{sections_at});
  put(cubin, 58, std::uint16_t{64});
  put(cubin, 60, std::uint16_t{2});
  put(cubin, sections_at + 64 + 4, std::uint32_t{1});
  put(cubin, sections_at + 64 + 24, uint64_t{64});
  put(cubin, sections_at + 64 + 32, uint64_t{32});
  CHECK(queue::kind_of_code(cubin) == queue::code_kind::cubin);
  for (std::size_t bytes = 4; bytes < cubin.size(); ++bytes) {
    CHECK(refused(std::vector<std::byte>(cubin.begin(),
                                         cubin.begin() + static_cast<std::ptrdiff_t>(bytes))) == 2);
  }
  put(cubin, sections_at + 64 + 32, uint64_t{1'000});  // a section that reaches beyond the end
  CHECK(refused(cubin) == 2);
  put(cubin, sections_at + 64 + 4, std::uint32_t{8});  // but has no bytes in the file
  CHECK(queue::kind_of_code(cubin) == queue::code_kind::cubin);
  put(cubin, 40, ~uint64_t{0} - 8);
  CHECK(refused(cubin) == 2);
}

TEST_CASE("device_code: a file is read whole, and one that is not there says why") {
  auto const path = std::filesystem::temp_directory_path() /
                    ("millrace-device-code-" + std::to_string(::getpid()));
  for (std::size_t const bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{65'536}, std::size_t{200'000}}) {
    std::string text(bytes, ' ');
    for (std::size_t i = 0; i < bytes; ++i) { text[i] = static_cast<char>(i * 7); }
    std::ofstream(path, std::ios::binary) << text;
    auto const got = queue::read_code(path.c_str());
    REQUIRE(got);
    CHECK(*got == bytes_of(text));
  }
  std::filesystem::remove(path);
  auto const missing = queue::read_code(path.c_str());
  REQUIRE(!missing);
  CHECK(missing.error() == millrace::error{errc::native_failure, core::origin::posix, ENOENT});
  CHECK(!queue::read_code(std::filesystem::temp_directory_path().c_str()));
}
