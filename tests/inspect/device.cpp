// SPDX-License-Identifier: Apache-2.0
// inspect_device <docs/design/queue.md> <what nvcc -Xptxas -v said> <what nvdisasm -c said> [ways]:
// compares what became of the kernels in kernels.cu with what the page states; with `ways` it
// prints the instructions that it counts.
#include "sass.hpp"
#include "table.hpp"

#include <cstdio>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

namespace {

/// Registers, bytes of local memory (stack and spills) and of shared memory; none for a kernel that
/// ptxas did not name.
[[nodiscard]] std::vector<double> resources(std::string const& log, std::string const& kernel) {
  std::regex const head("Function properties for \\S*" + kernel +
                        "\\S*\\s*\\n([^\\n]*)\\n([^\\n]*)");
  std::smatch found;
  if (!std::regex_search(log, found, head)) { return {}; }
  std::string const memory = found[1];
  std::string const used = found[2];
  auto const number_before = [](std::string const& text, char const* words) {
    std::smatch number;
    bool const there = std::regex_search(text, number, std::regex("(\\d+)" + std::string(words)));
    return there ? std::stod(number[1]) : 0.0;
  };
  double const local = number_before(memory, " bytes stack frame") +
                       number_before(memory, " bytes spill stores") +
                       number_before(memory, " bytes spill loads");
  std::smatch registers;
  if (!std::regex_search(used, registers, std::regex("Used (\\d+) registers"))) { return {}; }
  return {std::stod(registers[1]), local, number_before(used, " bytes smem")};
}

struct inspected {
  char const* row;
  char const* kernel;              ///< a part of its mangled name
  std::vector<std::string> marks;  ///< on every message's way: poll, functor's load, completion
};

}  // namespace

int main(int count, char** words) {
  if (count < 4) { return 2; }
  inspect::stated_numbers const page(words[1]);
  std::ifstream log_file(words[2]);
  std::string const log(std::istreambuf_iterator<char>(log_file), {});
  std::vector<inspected> const all = {
      {"raw_persistent", "raw_persistent", {"LD.E.64.STRONG.SYS", ".E.128 ", "ST.E.64.STRONG.SYS"}},
      {"drain_kernel, direct",
       "11direct_call",
       {"LD.E.64.STRONG.SYS", ".E.128 ", "ST.E.128.STRONG.SYS"}},
      {"drain_kernel, direct, within 44",
       "17direct_call_of_44",
       {"LD.E.64.STRONG.SYS", ".E.128 ", "ST.E.128.STRONG.SYS"}},
      {"drain_kernel, pull: worker",
       "pull_call",
       {"LD.E.STRONG.GPU", ".E.128 ", "ST.E.128.STRONG.SYS"}},
      {"drain_kernel, pull: puller",
       "pull_call",
       {"LD.E.64.STRONG.SYS", "LD.E.128 ", "ST.E.128 ", "ST.E.STRONG.GPU"}},
  };
  bool fine = true;
  for (inspected const& one : all) {
    std::ifstream code(words[3]);
    inspect::sass_kernel const kernel(code, one.kernel);
    std::vector<double> numbers = resources(log, one.kernel);
    std::vector<std::string> const way = kernel.shortest_cycle(one.marks);
    for (std::string const& instruction : way) {
      if (count > 4) { std::printf("    %s\n", instruction.c_str()); }
    }
    numbers.push_back(static_cast<double>(way.size()));
    numbers.push_back(static_cast<double>(kernel.size()));
    bool const found = numbers.size() == 5 && numbers[3] > 0;
    if (!found) { std::printf("%s: no such kernel, or no such way through it\n", one.row); }
    fine = page.hold(one.row, numbers) && found && fine;
  }
  return fine ? 0 : 1;
}
