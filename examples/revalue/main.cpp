// SPDX-License-Identifier: Apache-2.0
// Keeps a book of European options revalued while prices stream in: prices go through a queue to a
// persistent consumer (host threads, or a kernel that never ends), which prices every option that a
// price touches and adds up the risk of each desk; the firm's risk comes back after every update.
// Expected: a summary whose messages were "each exactly once and in order"; status 0.
#include "arguments.hpp"
#include "batch_engine.hpp"
#include "batched_run.hpp"
#include "book_csv.hpp"
#include "chain.hpp"
#include "device.hpp"
#include "host_engine.hpp"
#include "memory_picture.hpp"
#include "progress.hpp"
#include "results.hpp"
#include "run.hpp"
#include "summary.hpp"
#include "underlying.hpp"
#include <millrace/core/devices.hpp>
#include <millrace/memory/budget.hpp>
#include <millrace/memory/heap.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace {

namespace core = millrace::core;
namespace memory = millrace::memory;
using namespace revalue;

/// What the program works on, read and checked before it begins.
struct input {
  feed prices;
  revalue::book book;
  std::string book_source;
};

/// Reads every file that was named.
std::optional<complaint> read(arguments const& asked, input& in) {
  if (asked.underlying.empty()) {
    in.prices = bundled_underlying();
  } else {
    auto [prices, problem] = read_underlying(asked.underlying);
    if (problem) { return problem; }
    in.prices = std::move(prices);
  }
  if (!asked.options.empty()) {
    chain quotes(asked.options, std::move(in.prices), asked.date, asked.rate, asked.dividend);
    if (quotes.problem()) { return quotes.problem(); }
    in.prices = std::move(quotes.prices_and_quotes());
    in.book = std::move(quotes.options());
    in.book_source = "one of each quoted option";
  } else if (!asked.book.empty()) {
    auto [book, problem] = read_book(asked.book, asked.rate, asked.dividend);
    if (problem) { return problem; }
    in.book = std::move(book);
    in.book_source = asked.book;
  } else {
    std::size_t const size = asked.size != 0 ? asked.size : in.prices.daily ? 20'000 : 2'000;
    in.book = generate_book(size, in.prices.first_price(), asked.rate, asked.dividend);
    in.book_source = "generated";
  }
  return std::nullopt;
}

/// Host threads that price.
std::uint32_t host_workers(arguments const& asked, std::uint32_t desk_count) {
  std::uint32_t const threads = std::max(2u, std::thread::hardware_concurrency());
  return std::min(asked.workers == 0 ? threads - 1 : asked.workers, desk_count);
}

/// Starts the workers: on the device if it can be, else on host threads.
millrace::result<std::unique_ptr<engine>> open_engine(arguments const& asked, desks& on,
                                                      std::string& why) {
  auto const desk_count = static_cast<std::uint32_t>(on.refs().size());
  bool const automatic = asked.backend.kind() == core::backend_kind::automatic;
  auto where = core::backend::host();
  if (asked.backend.kind() == core::backend_kind::host) {
    why = "host threads, as asked for";
  } else if (automatic && !built_for_devices()) {
    why = "host threads: built without the CUDA Toolkit";
  } else {
    core::device_report const there = core::devices();
    why = core::explain(asked.backend, there);
    auto const chosen = core::resolve(asked.backend, there);
    if (!chosen) { return cuda::std::unexpected(chosen.error()); }
    where = *chosen;
  }
  if (where.kind() == core::backend_kind::cuda) {
    std::uint32_t const blocks =
        std::min(asked.workers == 0 ? desk_count : asked.workers, desk_count);
    auto device = open_device_engine(on, where, blocks);
    if (device || !automatic) { return device; }
    why = "host threads: " + core::describe(where) + ": " + core::describe(device.error());
  }
  return open_host_engine(on, host_workers(asked, desk_count));
}

int fail(std::string const& text) {
  std::fprintf(stderr, "revalue: %s\n", text.c_str());
  return 1;
}

/// The same for memory, with what helps where it was the budget that had no room.
int fail_for_memory(arguments const& asked, memory::budget const& state, std::string const& where) {
  if (asked.memory == 0 || state.counts().refused == 0) { return fail(where + "out of memory"); }
  return fail(where + "out of memory: the state needs more than the " +
              std::to_string(asked.memory) + " bytes of --memory-budget");
}

/// What a run has beside its engine.
struct surroundings {
  arguments const& asked;
  memory::budget& state;
  memory::heap<> const& room;
  input const& in;
  desks& on;
  results* out;
  memory_picture& picture;
  circumstances how;
};

/// Does all updates with running workers and tells what came of it.
/// @param job  a run, or a batched one, through `workers`
template <class Job, class Workers>
int work_through(Job& job, Workers& workers, surroundings& at) {
  feed const& prices = at.in.prices;
  at.how.processor = workers.processor();
  at.how.workers = workers.workers();
  {
    progress bar(prices.events.size(), !at.asked.quiet);
    auto const done = job.all([&](std::size_t count_done) {
      bar.show(count_done);
      at.picture.look(at.room);
    });
    if (!done && done.error().code == millrace::errc::out_of_memory) { throw std::bad_alloc(); }
    if (!done) { return fail("the run stopped: " + core::describe(done.error())); }
  }
  if (auto const ended = workers.finish(); !ended) {
    return fail("the workers did not end: " + core::describe(ended.error()));
  }

  summary const report(prices, at.in.book, at.on, job.found(), at.how);
  if (at.out != nullptr) {
    at.out->write(prices, at.in.book, at.on, job.found());
    if (at.out->problem()) { return fail(at.out->problem()->text); }
  }
  if (!at.asked.quiet) { report.print(at.asked.format, stdout); }
  at.picture.look(at.room, true);
  at.picture.write(at.in.book_source + " book of " + std::to_string(at.in.book.contracts.size()) +
                   " options, " + std::to_string(prices.events.size()) + " updates, " +
                   std::to_string(at.how.workers) + (at.how.workers == 1 ? " worker" : " workers"));
  if (at.picture.problem()) { return fail(at.picture.problem()->text); }
  return report.whole() ? 0 : fail("a desk did not process every message once and in order");
}

/// Says why no workers run.
int fail_to_open(surroundings const& at, millrace::error const& why) {
  if (why.code == millrace::errc::out_of_memory) {
    return fail_for_memory(at.asked, at.state, at.how.backend + ": ");
  }
  bool const said = why.code == millrace::errc::no_device;
  return fail(said ? at.how.backend : at.how.backend + ": " + core::describe(why));
}

/// From the input to the summary.
/// @throws std::bad_alloc
int work(arguments const& asked, memory::budget& state, input const& in, results* out,
         memory_picture& picture) {
  auto const room = memory::heap<>::make();
  if (!room) { throw std::bad_alloc(); }
  desks on(in.book, memory::budgeted_resource<memory::heap<>>(state, *room));
  picture.look(*room);
  surroundings at{asked, state, *room, in, on, out, picture, {}};
  at.how.book = in.book_source;
  at.how.memory = &state;
  if (asked.batch != 0) {
    at.how.backend = "host threads, which decode the batches";
    auto const desk_count = static_cast<std::uint32_t>(on.refs().size());
    auto const opened = open_batch_engine(on, host_workers(asked, desk_count), asked.batch);
    if (!opened) { return fail_to_open(at, opened.error()); }
    batched_run job(in.prices, on, **opened, asked.batch);
    return work_through(job, **opened, at);
  }
  auto const opened = open_engine(asked, on, at.how.backend);
  if (!opened) { return fail_to_open(at, opened.error()); }
  run job(in.prices, on, **opened);
  return work_through(job, **opened, at);
}

}  // namespace

int main(int count, char** words) {
  arguments const asked = parse_arguments(count, words);
  if (asked.help) {
    std::fputs(usage, stdout);
    return 0;
  }
  if (!asked.problem.empty()) { return fail(asked.problem + " (--help lists the options)"); }

  input in;
  if (auto const problem = read(asked, in)) { return fail(problem->text); }
  std::unique_ptr<results> out;
  if (!asked.out.empty()) {
    out = std::make_unique<results>(asked.out, asked.format);
    if (out->problem()) { return fail(out->problem()->text); }
  }
  memory::budget state(
      {.hard_bytes = asked.memory == 0 ? memory::max_request_bytes : asked.memory});
  try {
    memory_picture picture(asked.picture);
    if (picture.problem()) { return fail(picture.problem()->text); }
    return work(asked, state, in, out.get(), picture);
  } catch (std::bad_alloc const&) { return fail_for_memory(asked, state, ""); }
}
