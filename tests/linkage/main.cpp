// SPDX-License-Identifier: Apache-2.0
#include "answer.hpp"

#include <cstdio>

namespace {

int complaints = 0;

void expect(bool holds, char const* what) {
  if (!holds) {
    std::printf("wrong: %s\n", what);
    ++complaints;
  }
}

// A part of nvcc reaches the device where there is one; a part of g++ then says that it cannot.
// Were the two launchers merged into one, one of the parts would say the other's words.
void expect_part(linkage::answer const& part, bool with_launcher, char const* name) {
  expect(part.sum == 338350, name);
  expect(part.with_launcher == with_launcher, name);
  expect(part.on_device == millrace::errc::no_device ||
             (part.on_device == millrace::errc::not_compiled) != with_launcher,
         name);
}

}  // namespace

// Parts that g++ and nvcc compiled use one policy in one program: each keeps its own launcher.
int main() {
  expect_part(linkage::left(), false, "the left part");
  expect_part(linkage::right(), false, "the right part");
#if defined(LINKAGE_DEVICE)
  expect_part(linkage::left_device(), true, "the left device part");
  expect_part(linkage::right_device(), true, "the right device part");
#endif
  return complaints;
}
