// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/memory_picture.hpp"

#include "examples/revalue/desks.hpp"
#include "sample.hpp"
#include <millrace/memory/heap.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <string>

namespace core = millrace::core;
namespace memory = millrace::memory;
using namespace revalue;
using revalue::test::temporary_file;

TEST_CASE("memory_picture: the page shows the heap as it was when most was in use") {
  temporary_file const file("");
  auto const room = core::value_or_throw(memory::heap<>::make({.reserve_bytes = 64u << 20}));
  memory_picture picture(file.path());
  REQUIRE(!picture.problem());
  picture.look(room, true);
  {
    desks const on(generate_book(5'000, 100, 0.02, 0.01), room);
    picture.look(room, true);
  }
  picture.look(room, true);
  picture.write("5,000 options");
  CHECK(!picture.problem());
  std::string const page = file.text();
  CHECK(page.find("5,000 options") != std::string::npos);
  CHECK(page.find("large block of") != std::string::npos);
  CHECK(page.find("</body></html>\n") == page.size() - 15);
}

TEST_CASE("memory_picture: none is written without a name, and a name that cannot be is said") {
  memory_picture none("");
  none.look(core::value_or_throw(memory::heap<>::make({.reserve_bytes = 64u << 20})), true);
  none.write("");
  CHECK(!none.problem());
  memory_picture const wrong("/nowhere/at/all.html");
  REQUIRE(wrong.problem());
  CHECK(wrong.problem()->text.rfind("/nowhere/at/all.html: cannot be written: ", 0) == 0);
}

TEST_CASE("memory_picture: however long a run is, so many looks are kept and no more") {
  temporary_file const file("");
  auto const room = core::value_or_throw(memory::heap<>::make({.reserve_bytes = 64u << 20}));
  memory_picture picture(file.path());
  std::size_t most = 0;
  for (std::size_t i = 0; i < 3 * memory_picture::most_looks; ++i) {
    picture.look(room, true);
    most = std::max(most, picture.looks());
  }
  CHECK(most == memory_picture::most_looks);
  CHECK(picture.looks() > memory_picture::most_looks / 2);
  picture.write("");
  CHECK(!picture.problem());
}
