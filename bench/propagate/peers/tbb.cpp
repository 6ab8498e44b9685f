// SPDX-License-Identifier: Apache-2.0
// oneTBB's flow graph: nodes that run when all before them have, with a value of their own each. It
// has no cutoff and no values on its edges, and needs none here. And its loop over a range.
#include "bench/propagate/peers/sources.hpp"
#include "bench/propagate/suite/findings.hpp"
#include "bench/propagate/team.hpp"
#include "bench/propagate/trials.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_scheduler_observer.h>
#include <string>
#include <vector>

namespace millrace::bench {
namespace {

namespace flow = tbb::flow;
using flow_node = flow::continue_node<flow::continue_msg>;

/// A graph in an arena of as many threads; 0 leaves it to the library.
template <std::size_t Threads>
class in_arena {
 public:
  in_arena() {
    arena_.execute([this] { graph_ = std::make_unique<flow::graph>(); });
  }
  [[nodiscard]] flow::graph& graph() noexcept { return *graph_; }
  /// Sends a message to a node, and waits until nothing is left to do.
  void send(flow_node& to) {
    arena_.execute([&] {
      to.try_put(flow::continue_msg());
      graph_->wait_for_all();
    });
  }

 private:
  tbb::task_arena arena_{Threads == 0 ? tbb::task_arena::automatic : static_cast<int>(Threads)};
  std::unique_ptr<flow::graph> graph_;
};

template <std::size_t Threads>
class tbb_chain {
 public:
  explicit tbb_chain(std::size_t length) : values_(length + 1) {
    for (std::size_t i = 0; i < length; ++i) {
      nodes_.emplace_back(
          all_.graph(), [this, i](flow::continue_msg const&) { values_[i + 1] = values_[i] + 1; });
      if (i > 0) { flow::make_edge(nodes_[i - 1], nodes_[i]); }
    }
  }
  void change() {
    values_.front() += 1;
    all_.send(nodes_.front());
    found_.expect(values_.back(), values_.front() + static_cast<double>(nodes_.size()),
                  "the end of the chain");
  }
  [[nodiscard]] std::string const& problem() const noexcept { return found_.problem(); }

 private:
  std::vector<double> values_;
  in_arena<Threads> all_;
  std::deque<flow_node> nodes_;
  suite::findings found_;
};

template <std::size_t Threads>
class tbb_fanout {
 public:
  explicit tbb_fanout(std::size_t width) : values_(width) {
    for (std::size_t i = 0; i < width; ++i) {
      nodes_.emplace_back(all_.graph(), [this, i](flow::continue_msg const&) {
        values_[i] = input_ + static_cast<double>(i);
      });
      flow::make_edge(first_, nodes_[i]);
      flow::make_edge(nodes_[i], last_);
    }
  }
  void change() {
    input_ += 1;
    all_.send(first_);
    auto const width = static_cast<double>(values_.size());
    found_.expect(sum_, width * input_ + width * (width - 1) / 2, "the sum");
  }
  [[nodiscard]] std::string const& problem() const noexcept { return found_.problem(); }

 private:
  double input_ = 0, sum_ = 0;
  std::vector<double> values_;
  in_arena<Threads> all_;
  flow_node first_{all_.graph(), [](flow::continue_msg const&) {}};
  flow_node last_{all_.graph(), [this](flow::continue_msg const&) {
                    sum_ = 0;
                    for (double const each : values_) { sum_ += each; }
                  }};
  std::deque<flow_node> nodes_;
  suite::findings found_;
};

template <std::size_t Threads>
[[nodiscard]] std::optional<contender> trial(std::string_view bench, std::string_view name) {
  if (bench == "chain.1k") { return changing<tbb_chain<Threads>>(name, 1'000); }
  if (bench == "chain.1m") { return changing<tbb_chain<Threads>>(name, 1'000'000); }
  if (bench == "fanout.1k") { return changing<tbb_fanout<Threads>>(name, 1'000); }
  return std::nullopt;
}

/// Two threads, of which the one that the library makes has the second processor.
class tbb_pair {
 public:
  tbb_pair() { pinned_.observe(true); }
  tbb_pair(tbb_pair const&) = delete;
  tbb_pair& operator=(tbb_pair const&) = delete;
  ~tbb_pair() { pinned_.observe(false); }

  void run(fork_body const& body) {
    arena_.execute([&] {
      tbb::parallel_for(
          tbb::blocked_range<std::uint32_t>(0, 2),
          [&](auto const& part) {
            for (std::uint32_t task = part.begin(); task != part.end(); ++task) { body(task); }
          },
          tbb::simple_partitioner());
    });
  }

 private:
  class pinned : public tbb::task_scheduler_observer {
   public:
    using tbb::task_scheduler_observer::task_scheduler_observer;
    void on_scheduler_entry(bool is_worker) override {
      if (is_worker) { pin_to(trial_cpus().worker); }
    }
  };

  tbb::global_control two_{tbb::global_control::max_allowed_parallelism, 2};
  tbb::task_arena arena_{2};
  pinned pinned_{arena_};
};

}  // namespace

contender tbb_fork(double task_ns) {
  return forked("tbb.parallel_for", task_ns, [] { return std::make_unique<tbb_pair>(); });
}

std::optional<contender> tbb_trial(std::string_view bench) {
  return trial<0>(bench, "tbb.flow_graph");
}
std::optional<contender> tbb_one_thread_trial(std::string_view bench) {
  return trial<1>(bench, "tbb.flow_graph.1t");
}

}  // namespace millrace::bench
