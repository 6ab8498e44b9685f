// SPDX-License-Identifier: Apache-2.0
// What nvcc wrote into the module, read without a device: the description that a device's compiler
// made of each policy is the one that g++ makes of it.
#include "unit/queue/functors/policies.hpp"
#include <millrace/queue/device_code.hpp>
#include <millrace/queue/functor_abi.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace {

namespace core = millrace::core;
namespace queue = millrace::queue;
using millrace::errc;
using queue::abi_field;
using queue::functor_abi;

[[nodiscard]] std::vector<std::byte> code(char const* suffix) {
  return core::value_or_throw(
      queue::read_code((std::string(FUNCTOR_MODULE) + "." + suffix).c_str()));
}
/// The description under `name`, from the bytes that PTX lists: name[120] = {1, 2, ...}.
[[nodiscard]] std::optional<functor_abi> described(char const* name) {
  auto const ptx = code("ptx");
  std::string_view const text(reinterpret_cast<char const*>(ptx.data()), ptx.size());
  auto const at = text.find(std::string("millrace_") + name + "_abi[");
  if (at == std::string_view::npos) { return std::nullopt; }
  functor_abi out;
  char const* next = text.data() + text.find('{', at) + 1;
  for (std::uint32_t i = 0; i < sizeof out; ++i) {
    char* end = nullptr;
    auto const byte = static_cast<std::uint32_t>(std::strtoul(next, &end, 10));
    out.words[i / 4] |= byte << (8 * (i % 4));
    if (*end != ',') { break; }  // zeros at the end are left out
    next = end + 1;
  }
  return out;
}
[[nodiscard]] functor_abi expected() {
  return queue::functor_abi_of<
      queue::with_functor<functor_test::plus_policy, functor_test::factor>>();
}
[[nodiscard]] abi_field refused(char const* name) {
  auto const theirs = described(name);
  REQUIRE(theirs);
  auto const answer = queue::compare(expected(), *theirs);
  REQUIRE(!answer);
  CHECK(answer.error().code == errc::layout_mismatch);
  return static_cast<abi_field>(answer.error().native);
}

}  // namespace

TEST_CASE("functor module: nvcc describes a policy as g++ does") {
  auto const theirs = described("times");
  REQUIRE(theirs);
  for (std::uint32_t f = 1; f <= functor_abi::fields; ++f) {
    auto const field = static_cast<abi_field>(f);
    INFO(queue::describe(field));
    CHECK((*theirs)[field] == expected()[field]);
  }
  CHECK(queue::compare(expected(), *theirs));
}

TEST_CASE("functor module: other policies are told apart") {
  CHECK(refused("without_contract") == abi_field::contract);
  CHECK(refused("narrow") == abi_field::message_bytes);
  CHECK(refused("small_blocks") == abi_field::threads_per_block);
  CHECK(!described("bare"));
}

TEST_CASE("functor module: every form is taken for what it is") {
  CHECK(queue::kind_of_code(code("ptx")) == queue::code_kind::ptx);
  CHECK(queue::kind_of_code(code("cubin")) == queue::code_kind::cubin);
  CHECK(queue::kind_of_code(code("fatbin")) == queue::code_kind::fatbin);
  for (char const* const suffix : {"cubin", "fatbin"}) {
    auto front = code(suffix);
    front.resize(front.size() / 2);
    auto const answer = queue::kind_of_code(front);
    REQUIRE(!answer);
    CHECK(answer.error() == millrace::error{errc::bad_argument, core::origin::millrace, 2});
  }
}
