// SPDX-License-Identifier: Apache-2.0
// millrace's heap against other allocators. Every trial is a process of its own, begun by this one,
// whose malloc is that of the library that LD_PRELOAD names: so each allocator starts fresh, none
// is linked beside another, and what a process had resident at most is the allocator's alone.
#include "bench/harness/session.hpp"
#include "bench/memory/allocators.hpp"
#include "bench/memory/workloads.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace millrace::bench {
namespace {

/// What a workload found and what its process had resident at most.
struct outcome {
  double ns = wrong;
  double peak_kib = 0;
};

template <class A>
[[nodiscard]] double perform(std::string_view what) {
  if (what == "pair") { return pair_of<A>(64); }
  if (what == "replace.1k.1t") { return replace<A>(1'000, 1, 2'000'000); }
  if (what == "replace.1k.2t") { return replace<A>(1'000, 2, 2'000'000); }
  if (what == "replace.50k") { return replace<A>(50'000, 1, 500'000); }
  if (what == "handoff") { return handoff<A>(); }
  if (what == "scatter_free") { return scatter_free<A>(100'000); }
  if (what == "larson.1t") { return larson<A>(1); }
  if (what == "larson.2t") { return larson<A>(2); }
  if (what == "xmalloc") { return xmalloc<A>(); }
  if (what == "cache_scratch") { return cache_lines<A>(true); }
  if (what == "cache_thrash") { return cache_lines<A>(false); }
  return wrong;
}

/// Replacement with a look at the heap once a millisecond, or without.
[[nodiscard]] double perform_and_look(std::string_view what) {
  constexpr std::uint32_t count = 1 << 23;
  if (what == "statistics") {
    std::uint64_t seen = 0;
    return replace_and_look<millrace_heap>(1'000, count, [&](millrace_heap& all) {
      seen += all.of.stats().live;
      asm volatile("" ::"r"(seen));
    });
  }
  if (what == "heatmap") {
    core::occupancy_map map;
    return replace_and_look<millrace_heap>(1'000, count, [&](millrace_heap& all) {
      if (!memory::take_map(all.of, map)) { std::abort(); }
    });
  }
  return replace_and_look<millrace_heap>(1'000, count, [](millrace_heap&) {});
}

/// The other side of `trial_of`: what a child process does.
int child(std::string_view allocator, std::string_view what) {
  double ns = wrong;
  if (allocator == "millrace.heap") { ns = perform<millrace_heap>(what); }
  if (allocator == "millrace.looked_at") { ns = perform_and_look(what); }
  if (allocator == "millrace.local") { ns = perform<millrace_local>(what); }
  if (allocator == "millrace.pool") { ns = pair_of<millrace_pool<64>>(64); }
  if (allocator == "millrace.pmr") { ns = perform<millrace_pmr>(what); }
  if (allocator == "millrace.pmr_local") { ns = perform<millrace_pmr_local>(what); }
  if (allocator == "limit.virtual_stack") { ns = pair_of<virtual_stack>(64); }
  if (allocator == "malloc") { ns = perform<libc_malloc>(what); }
  if (allocator == "std.pmr.unsynchronized") { ns = pair_of<std_unsynchronized>(64); }
  if (allocator == "private") { ns = perform<private_buffers>(what); }
#if defined(MILLRACE_BENCH_BOOST_POOL)
  if (allocator == "boost.pool") { ns = pair_of<boost_pool<64>>(64); }
#endif
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  std::printf("%.6f %ld\n", ns, used.ru_maxrss);
  return ns < 0 ? 1 : 0;
}

/// The file of a library; empty when it is not installed.
[[nodiscard]] std::string library(char const* name) {
  for (char const* const folder :
       {"/usr/lib/x86_64-linux-gnu/", "/usr/lib/aarch64-linux-gnu/", "/usr/lib64/", "/usr/lib/"}) {
    std::string const path = std::string(folder) + name;
    if (::access(path.c_str(), R_OK) == 0) { return path; }
  }
  return {};
}

class driver {
 public:
  driver(session& out, std::string self) : out_(out), self_(std::move(self)) {}

  void all() {
    mallocs_ = {{"glibc", "malloc", ""}};
    for (auto const& [name, file] :
         {std::pair{"mimalloc", "libmimalloc.so.2"}, std::pair{"mimalloc", "libmimalloc.so.2.0"},
          std::pair{"jemalloc", "libjemalloc.so.2"},
          std::pair{"tcmalloc", "libtcmalloc_minimal.so.4"}}) {
      std::string const path = library(file);
      bool const known = mallocs_.back().name == name;
      if (!path.empty() && !known) { mallocs_.push_back({name, "malloc", path}); }
    }
    std::vector<side> pools = mallocs_;
#if defined(MILLRACE_BENCH_BOOST_POOL)
    pools.push_back({"boost.pool", "boost.pool", ""});
#endif
    compare("memory.pair.64B", "pair", "millrace.pool", pools);
    std::vector<side> resources = mallocs_;
    resources.push_back({"std.pmr.unsynchronized", "std.pmr.unsynchronized", ""});
    resources.push_back({"millrace.heap", "millrace.pmr", ""});
    resources.push_back({"limit.virtual_stack", "limit.virtual_stack", ""});
    compare("memory.pmr_pair.64B", "pair", "millrace.pmr_local", resources);
    // threads that hold their cache at hand, and the same through the heap, which finds it anew
    std::vector<side> ways = mallocs_;
    ways.push_back({"millrace.heap", "millrace.heap", ""});
    compare("memory.replace.1k.1t", "replace.1k.1t", "millrace.local", ways);
    std::vector<side> threads = ways;
    threads.push_back({"millrace.1t", "millrace.local", "", "replace.1k.1t"});
    compare("memory.replace.1k.2t", "replace.1k.2t", "millrace.local", threads, placed);
    side const unseen{"millrace.unseen", "millrace.looked_at", "", "nothing"};
    compare("memory.replace.1k.statistics", "statistics", "millrace.looked_at", {unseen});
    compare("memory.replace.1k.heatmap", "heatmap", "millrace.looked_at", {unseen});
    compare("memory.replace.50k", "replace.50k", "millrace.local", ways);
    compare("memory.handoff.64B", "handoff", "millrace.heap", mallocs_, placed);
    compare("memory.scatter_free.100k", "scatter_free", "millrace.local", ways);
    compare("memory.larson.1t", "larson.1t", "millrace.heap", mallocs_);
    compare("memory.larson.2t", "larson.2t", "millrace.heap", mallocs_, placed);
    std::vector<side> lines = mallocs_;
    lines.push_back({"private.buffers", "private", ""});
    compare("memory.cache_scratch", "cache_scratch", "millrace.heap", lines, placed);
    compare("memory.cache_thrash", "cache_thrash", "millrace.heap", lines, placed);
    compare("memory.rss.larson", "larson.2t", "millrace.heap", mallocs_, resident);
    compare("memory.rss.xmalloc", "xmalloc", "millrace.heap", mallocs_, resident);
  }

 private:
  struct side {
    std::string name;
    std::string allocator;
    std::string preload;
    std::string what = {};  ///< instead of the row's workload
  };
  enum kind {
    alone,     ///< one thread's time
    placed,    ///< two threads' time, on processors near or far
    resident,  ///< what the process had resident at most
  };

  [[nodiscard]] outcome run(side const& of, std::string const& what) const {
    std::string const command = (of.preload.empty() ? "" : "LD_PRELOAD='" + of.preload + "' ") +
                                "'" + self_ + "' --child " + of.allocator + " " + what;
    outcome found;
    unpin();  // a child has the processors of this thread
    std::FILE* const pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) { return found; }
    if (std::fscanf(pipe, "%lf %lf", &found.ns, &found.peak_kib) != 2) { found.ns = wrong; }
    if (::pclose(pipe) != 0) { found.ns = wrong; }
    return found;
  }
  [[nodiscard]] contender trial_of(side const& of, std::string const& what, kind how) const {
    return {of.name, [this, of, what, how] {
              outcome const found = run(of, of.what.empty() ? what : of.what);
              if (found.ns < 0) { return measured{0, "a block did not hold what was written"}; }
              return measured{how == resident ? found.peak_kib : found.ns, {}};
            }};
  }
  void compare(char const* bench, char const* what, char const* ours,
               std::vector<side> const& peers, kind how = alone) {
    comparison made{.bench = bench,
                    .unit = how == resident ? "KiB" : "ns",
                    .way = better::lower,
                    .ours = trial_of({"millrace", ours, ""}, what, how),
                    .peers = {},
                    .placed = how == placed};
    for (side const& each : peers) { made.peers.push_back(trial_of(each, what, how)); }
    out_.run(made);
  }

  session& out_;
  std::string self_;
  std::vector<side> mallocs_;
};

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  using namespace millrace::bench;
  if (argc == 4 && std::string_view(argv[1]) == "--child") { return child(argv[2], argv[3]); }
  return run_program(argc, argv, [](session& out) {
    char self[4096] = {};
    if (::readlink("/proc/self/exe", self, sizeof self - 1) <= 0) {
      return out.fail("this program does not find itself in /proc");
    }
    driver(out, self).all();
  });
}
