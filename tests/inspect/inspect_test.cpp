// SPDX-License-Identifier: Apache-2.0
// The inspection's own parts, on code and pages that say what they must find.
#include "sass.hpp"
#include "stepper.hpp"
#include "table.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr char const* listing = R"(.text._Z5otherv:
        /*0000*/                   LD.POLL R9 ;
.text._Z4loopv:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_0:
        /*0010*/                   LD.POLL R2, desc[UR4][R4.64] ;
        /*0020*/              @!P0 BRA `(.L_x_0) ;
        /*0030*/                   BRA.DIV UR4, `(.L_x_3) ;
        /*0040*/              @P1  EXIT ;
        /*0050*/                   BRA P2, `(.L_x_1) ;
        /*0060*/                   CALL.REL.NOINC `(elsewhere) ;
        /*0070*/                   ST.DONE desc[UR4][R4.64], R2 ;
.L_x_1:
        /*0080*/                   IADD3 R2, R2, 0x1, RZ ;
        /*0090*/                   ISETP.NE.AND P0, PT, R2, RZ, PT ;
        /*00a0*/              @!P3 ST.DONE desc[UR4][R4.64], R2 ;
        /*00b0*/                   BRA `(.L_x_0) ;
.L_x_3:
        /*00c0*/                   ST.DONE desc[UR4][R4.64], R2 ;
        /*00d0*/                   BRA `(.L_x_0) ;
        /*00e0*/                   NOP ;
)";

[[nodiscard]] inspect::sass_kernel read(char const* name) {
  std::istringstream in{listing};
  return inspect::sass_kernel(in, name);
}

}  // namespace

TEST_CASE(
    "inspect: the way of a message is the shortest that passes its marks, around the slow ones") {
  inspect::sass_kernel const kernel = read("loop");
  CHECK(kernel.size() == 14);
  std::vector<std::string> const way = kernel.shortest_cycle({"LD.POLL", "ST.DONE"});
  REQUIRE(way.size() == 9);
  CHECK(way.front().starts_with("LD.POLL"));
  CHECK(way.back().starts_with("BRA "));
  CHECK(kernel.shortest_cycle({"LD.POLL"}).size() == 2);
}

TEST_CASE("inspect: a way that code does not have is none") {
  CHECK(read("loop").shortest_cycle({"LD.POLL", "ATOM"}).empty());
  CHECK(read("loop").shortest_cycle({"LDC", "ST.DONE"}).empty());
  CHECK(read("other").size() == 1);
}

TEST_CASE("inspect: a number holds up to a tenth above the page's, and a row must be there") {
  inspect::stated_numbers const page(std::istringstream(
      "## Costs\n| `elsewhere` | 1 |\n## Generated code\ng++ 1.2.3\n| path | n |\n|---|---|\n"
      "| `a path` | 40 | 0 |\n## Tried\n| `later` | 1 |\n"));
  CHECK(page.says("g++ 1.2.3"));
  CHECK_FALSE(page.says("g++ 1.2.4"));
  CHECK(page.hold("a path", {44, 0}));
  CHECK(page.hold("a path", {20, 0}));
  CHECK_FALSE(page.hold("a path", {44.1, 0}));
  CHECK_FALSE(page.hold("a path", {40, 1}));
  CHECK_FALSE(page.hold("a path", {40}));
  CHECK_FALSE(page.hold("elsewhere", {1}));
  CHECK_FALSE(page.hold("later", {1}));
}

#if defined(__x86_64__) && defined(__GNUC__)
TEST_CASE("inspect: instructions that lock are told by their bytes") {
  auto const told = [](std::initializer_list<unsigned char> bytes) {
    return inspect::locks(bytes.begin(), bytes.size());
  };
  CHECK(told({0xf0, 0x48, 0x0f, 0xc1, 0x07}));        // lock xadd [rdi], rax
  CHECK(told({0x66, 0xf0, 0x0f, 0xb1, 0x0f}));        // lock cmpxchg [rdi], cx
  CHECK(told({0x87, 0x07}));                          // xchg [rdi], eax
  CHECK(told({0x48, 0x87, 0x47, 0x08}));              // xchg [rdi + 8], rax
  CHECK_FALSE(told({0x48, 0x87, 0xc7}));              // xchg rdi, rax
  CHECK_FALSE(told({0x48, 0x89, 0x07}));              // mov [rdi], rax
  CHECK_FALSE(told({0x64, 0x48, 0x8b, 0x04, 0x25}));  // mov rax, fs:[...]
}

TEST_CASE("inspect: stepping finds the instructions that lock") {
  auto const adds = [](int count) {
    return inspect::count_instructions([=] {
      long word = 0;
      inspect::counting_stop();
      for (int i = 0; i < count; ++i) { asm volatile("lock incq %0" : "+m"(word)); }
      inspect::counting_stop();
      return word == count;
    });
  };
  inspect::stepped const some = adds(3);
  if (!some.problem.empty()) {
    MESSAGE(some.problem);
    return;
  }
  CHECK(adds(10).locked - some.locked == 7);
}

TEST_CASE(
    "inspect: stepping counts the instructions between the stops, and tells when work fails") {
  auto const turns = [](std::uint64_t count) {
    return inspect::count_instructions([=] {
      inspect::counting_stop();
      std::uint64_t left = count;
      asm volatile("1: dec %0\n\tjnz 1b" : "+r"(left));
      inspect::counting_stop();
      return left == 0;
    });
  };
  inspect::stepped const some = turns(50);
  if (!some.problem.empty()) {
    MESSAGE(some.problem);
    return;
  }
  CHECK(turns(150).instructions - some.instructions == 200);
  CHECK(turns(150).locked == some.locked);
  CHECK_FALSE(inspect::count_instructions([] { return false; }).problem.empty());
  CHECK_FALSE(inspect::count_instructions([] { return true; }).problem.empty());
}
#endif
