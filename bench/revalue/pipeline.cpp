// SPDX-License-Identifier: Apache-2.0
// A book kept revalued by the queue's worker, fed by the calling thread, against a loop that calls
// the same function on the same updates in the calling thread alone.
#include "bench/book/default_book.hpp"
#include "bench/revalue/benches.hpp"
#include "examples/revalue/consumer.hpp"
#include "examples/revalue/desks.hpp"
#include "examples/revalue/instruction_set.hpp"
#include <millrace/queue/launch_host.hpp>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

namespace millrace::bench {
namespace {

using revalue::reply;
using revalue::revalue_policy;
using revalue::update;
using revalue::update_kind;

constexpr std::uint16_t desk_count = 8;
using totals = std::array<reply, desk_count>;

bool same(totals const& a, totals const& b) {
  return std::equal(a.begin(), a.end(), b.begin(), [](reply const& x, reply const& y) {
    return x.value == y.value && x.delta == y.delta && x.gamma == y.gamma && x.vega == y.vega &&
           x.theta == y.theta && x.rho == y.rho;
  });
}

/// A stream of updates: a first price for every desk, then what is measured.
struct stream {
  std::vector<update> first;
  std::vector<update> rest;
  std::size_t updates = 0;  ///< what counts as one: a price for all desks, or one option's quote
  std::uint32_t batch = 0;  ///< messages submitted together
};

stream opening() {
  stream out;
  for (std::uint16_t d = 0; d < desk_count; ++d) {
    out.first.push_back({first_spot, 0, 0, 0, d, update_kind::spot});
  }
  return out;
}

/// Prices that touch all 20,000 options.
stream book_stream() {
  stream out = opening();
  out.updates = 150;
  out.batch = desk_count;
  for (std::size_t i = 0; i < out.updates; ++i) {
    double const spot = first_spot * (1 + 1e-4 * static_cast<double>(i % 100));
    for (std::uint16_t d = 0; d < desk_count; ++d) {
      out.rest.push_back({spot, i + 1, 0, 0, d, update_kind::spot});
    }
  }
  return out;
}

/// Volatilities of single options all over the book.
stream single_stream() {
  stream out = opening();
  out.updates = 1 << 17;
  out.batch = 128;
  core::splitmix_rng rng(7);
  std::array<std::uint64_t, desk_count> sequence{};
  for (std::size_t i = 0; i < out.updates; ++i) {
    auto const d = static_cast<std::uint16_t>(rng.next() % desk_count);
    auto const option = static_cast<std::uint32_t>(rng.next() % (book_size / desk_count));
    double const vol = revalue::uniform(rng, 0.1, 0.5);
    out.rest.push_back({vol, ++sequence[d], 0, option, d, update_kind::volatility});
  }
  return out;
}

double ns_each(stream const& of, std::int64_t ns) {
  return static_cast<double>(ns) / static_cast<double>(of.updates);
}

/// One thread that calls the functor's body, on the processor of the queue's worker.
measured raw_loop(stream const& of, revalue::book const& book, totals& last) {
  revalue::desks on(book);
  revalue::instruction_set const with = revalue::best_instruction_set();
  pin_to(trial_cpus().worker);
  for (update const& u : of.first) { last[u.desk] = with.apply(on.refs()[u.desk], u); }
  std::int64_t const start = now_ns();
  for (update const& u : of.rest) { last[u.desk] = with.apply(on.refs()[u.desk], u); }
  std::int64_t const ns = now_ns() - start;
  unpin();
  return {ns_each(of, ns), {}};
}

/// How long the caller leaves the worker alone after it found fewer replies than a batch: looking
/// at a record while it is being written takes its cache line away from the worker. The lane holds
/// messages for much longer than that.
constexpr std::uint32_t patience_ns = 20'000;

/// Submits `what` in batches and takes every reply.
void stream_through(queue::producer<revalue_policy>& lane, std::span<update const> what,
                    std::uint32_t batch, totals& last) {
  std::size_t sent = 0;
  std::size_t answered = 0;
  auto const use = [&](queue::completion<reply> const& done) noexcept {
    last[what[answered++].desk] = done.reply;
  };
  while (answered < what.size()) {
    while (sent < what.size() && lane.room() >= batch) {
      auto const some = std::min<std::size_t>(batch, what.size() - sent);
      if (!lane.submit_batch({what.data() + sent, some})) { break; }
      sent += some;
    }
    if (lane.poll(use) < batch) { core::relax_for(patience_ns); }
  }
}

measured pipeline(stream const& of, revalue::book const& book, totals const& expected) {
  revalue::desks on(book);
  queue::options with;
  with.capacity = 1024;
  with.first_cpu = trial_cpus().worker;
  auto workers = queue::launch_host<revalue_policy>(
      with, {on.refs().data(), revalue::best_instruction_set().apply});
  if (!workers) { return {0, core::describe(workers.error())}; }
  auto lane = workers->open_lane();
  if (!lane) { return {0, core::describe(lane.error())}; }
  pin_to(trial_cpus().producer);
  totals last{};
  stream_through(*lane, of.first, desk_count, last);
  std::int64_t const start = now_ns();
  stream_through(*lane, of.rest, of.batch, last);
  std::int64_t const ns = now_ns() - start;
  unpin();
  std::uint64_t disordered = 0;
  auto const left = workers->stop(queue::within(std::chrono::seconds(5)));
  for (revalue::desk_state const& desk : on.states()) { disordered += desk.out_of_order; }
  if (!left || *left != 0 || disordered != 0) { return {0, "messages lost or out of order"}; }
  return {ns_each(of, ns), same(last, expected) ? "" : "the desks' totals differ from the loop's"};
}

void compare(session& work, char const* name, stream (*make)()) {
  if (!work.wants(name)) { return; }
  revalue::book const book = default_book();
  stream const updates = make();
  totals expected{};
  static_cast<void>(raw_loop(updates, book, expected));
  comparison what;
  what.bench = name;
  what.unit = "ns";
  what.placed = true;
  what.ours = {"queue", [&] { return pipeline(updates, book, expected); }};
  what.peers.push_back({"raw.loop", [&] {
                          totals found{};
                          measured out = raw_loop(updates, book, found);
                          if (!same(found, expected)) { out.problem = "two loops differ"; }
                          return out;
                        }});
  work.run(what);
}

}  // namespace

void run_pipelines(session& work) {
  compare(work, "revalue.pipeline.book", book_stream);
  compare(work, "revalue.pipeline.single", single_stream);
}

}  // namespace millrace::bench
