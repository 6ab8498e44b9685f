// SPDX-License-Identifier: Apache-2.0
#include "work.hpp"

#include <cstdio>

namespace {

int complaints = 0;

void expect(bool holds, char const* what) {
  if (!holds) {
    std::printf("wrong: %s\n", what);
    ++complaints;
  }
}

bool compiled(linkage::answer const& a) { return a.on_device != millrace::errc::not_compiled; }

}  // namespace

// Parts that g++ and nvcc compiled use one policy in one program: each keeps its own launcher.
int main() {
  expect(linkage::left().sum == 338350, "the sum in the left part");
  expect(linkage::right().sum == 338350, "the sum in the right part");
  expect(!compiled(linkage::left()), "a part compiled by g++ has no device launcher");
  expect(!compiled(linkage::right()), "a part compiled by g++ has no device launcher");
#if defined(LINKAGE_DEVICE)
  expect(linkage::left_device().sum == 338350, "the sum in the left device part");
  expect(linkage::right_device().sum == 338350, "the sum in the right device part");
  expect(compiled(linkage::left_device()), "a part compiled by nvcc has a device launcher");
  expect(compiled(linkage::right_device()), "a part compiled by nvcc has a device launcher");
#endif
  return complaints;
}
