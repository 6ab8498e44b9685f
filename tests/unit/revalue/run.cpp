// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/run.hpp"

#include "examples/revalue/arguments.hpp"
#include "examples/revalue/host_engine.hpp"
#include "examples/revalue/results.hpp"
#include "examples/revalue/summary.hpp"
#include "pressure.hpp"
#include "sample.hpp"
#include <millrace/core/rng.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <string>

using namespace revalue;
using revalue::test::temporary_file;

namespace {

book test_book() { return generate_book(400, 100, 0.02, 0.01); }

/// Prices, quotes that solve, quotes that do not, and quotes that leave the price where it was.
feed test_feed(std::size_t count) {
  feed out;
  out.underlying = "made up";
  out.chain = "made up";
  millrace::core::splitmix_rng rng(77);
  for (std::size_t i = 0; i < count; ++i) {
    event e;
    e.time = static_cast<std::int64_t>(i);
    e.line = static_cast<std::uint32_t>(i + 2);
    std::uint64_t const draw = i == 0 ? 0 : rng.next() % 16;
    if (draw == 0) {
      e.kind = update_kind::spot;
      e.price = uniform(rng, 80, 125);
    } else if (draw == 1) {
      e.kind = update_kind::quiet;
    } else {
      e.kind = draw < 9 ? update_kind::mid : update_kind::volatility;
      e.contract = static_cast<std::uint32_t>(rng.next() % 400);
      e.price = draw < 9 ? uniform(rng, 0.5, 60) : uniform(rng, 0.05, 0.8);
    }
    out.events.push_back(e);
  }
  out.rejected.push_back({1, outcome::crossed});
  return out;
}

struct outcome_of_run {
  findings found;
  std::string csv;
  bool whole = false;
};

/// @param workers  0: the loop without a queue
outcome_of_run run_with(feed const& in, book const& of, std::uint32_t workers) {
  desks on(of, millrace_test::resource());
  std::unique_ptr<engine> through;
  if (workers == 0) {
    through = std::make_unique<loop_engine>(on);
  } else {
    auto opened = open_host_engine(on, workers);
    REQUIRE(opened);
    through = std::move(*opened);
  }
  run job(in, on, *through);
  REQUIRE(job.all([](std::size_t) {}));
  REQUIRE(through->finish());
  temporary_file const file("");
  results out(file.path(), format::csv);
  out.write(in, of, on, job.found());
  CHECK_FALSE(out.problem());
  bool const whole = summary(in, of, on, job.found(), {}).whole();
  return {job.found(), file.text(), whole};
}

}  // namespace

TEST_CASE("run: one worker, several, and a loop without a queue write the same bytes") {
  feed const in = test_feed(3'000);
  book const of = test_book();
  outcome_of_run const loop = run_with(in, of, 0);
  CHECK(loop.whole);
  CHECK(loop.found.tally[static_cast<std::size_t>(outcome::applied)] > 1'000);
  CHECK(loop.found.tally[static_cast<std::size_t>(outcome::below_bound)] > 0);
  for (std::uint32_t const workers : {1u, 2u, 3u, 8u}) {
    outcome_of_run const queued = run_with(in, of, workers);
    CHECK(queued.whole);
    CHECK(queued.csv == loop.csv);
    CHECK(queued.found.recomputed == loop.found.recomputed);
    CHECK(queued.found.messages == loop.found.messages);
  }
}

TEST_CASE("run: the firm is the sum of its desks after every update") {
  feed const in = test_feed(500);
  outcome_of_run const got = run_with(in, test_book(), 1);
  double sum = 0;
  for (risk const& desk : got.found.desks) { sum += desk.value; }
  CHECK(got.found.firm.back().value == doctest::Approx(sum).epsilon(1e-12));
  CHECK(got.found.firm.size() == 500);
}

TEST_CASE("run: the results list every refused quote by line and reason") {
  feed const in = test_feed(500);
  outcome_of_run const got = run_with(in, test_book(), 0);
  CHECK(got.csv.starts_with("record,id,input,note,value,delta,gamma,vega,theta,rho\n"));
  CHECK(got.csv.find("refused,line 1,0,crossed,") != std::string::npos);
  std::size_t listed = 0;
  for (std::size_t at = 0; (at = got.csv.find("\nrefused,", at)) != std::string::npos; ++at) {
    ++listed;
  }
  CHECK(listed == 1 + got.found.tally[1] + got.found.tally[2]);
}

TEST_CASE("results: a path that cannot be written is a problem before any work") {
  results const out("/nowhere/at/all", format::csv);
  REQUIRE(out.problem());
  CHECK(out.problem()->text == "/nowhere/at/all: cannot be written: No such file or directory");
}

TEST_CASE("arguments: what cannot be is named") {
  auto const problem = [](std::vector<std::string> words) {
    words.insert(words.begin(), "revalue");
    std::vector<char*> pointers;
    for (std::string& word : words) { pointers.push_back(word.data()); }
    int const count = static_cast<int>(pointers.size());
    pointers.push_back(nullptr);
    return parse_arguments(count, pointers.data()).problem;
  };
  CHECK(problem({}) == "");
  CHECK(problem({"--backend", "cuda:1", "--workers", "4", "--format", "json", "--quiet"}) == "");
  CHECK(problem({"--workers", "0"}) == "--workers needs a number from 1 to 256, not '0'");
  CHECK(problem({"--workers", "two"}) == "--workers needs a number from 1 to 256, not 'two'");
  CHECK(problem({"--backend", "gpu"}) == "--backend needs auto, host, cuda or cuda:N, not 'gpu'");
  CHECK(problem({"--format", "xml"}) == "--format needs table, csv or json, not 'xml'");
  CHECK(problem({"--rate", "nan"}) == "--rate needs a rate from -1 to 1, not 'nan'");
  CHECK(problem({"--out"}) == "--out needs a value");
  CHECK(problem({"--out", ""}) == "--out needs a file's name, not ''");
  CHECK(problem({"--heatmap", ""}) == "--heatmap needs a file's name, not ''");
  CHECK(problem({"--heatmap", "a", "--out", "a"}) ==
        "--out and --heatmap name one file; each writes its own");
  for (char const* bytes :
       {"0", "-1", "64M", "1e6", " 5", "", "70368744177665", "99999999999999999999"}) {
    CHECK(problem({"--memory-budget", bytes}) ==
          std::string("--memory-budget needs bytes, from 1 to 64 TiB, not '") + bytes + "'");
  }
  CHECK(problem({"--memory-budget", "70368744177664"}) == "");
  for (char const* updates : {"0", "1025", "many", ""}) {
    CHECK(problem({"--batch", updates}) ==
          std::string("--batch needs a number from 1 to 1024, not '") + updates + "'");
  }
  CHECK(problem({"--batch", "1024", "--backend", "host"}) == "");
  CHECK(problem({"--backend", "cuda:0", "--batch", "8"}).starts_with("--batch needs host threads"));
  CHECK(problem({"--frobnicate"}) == "unknown option '--frobnicate'");
  CHECK(problem({"file.csv"}) == "unexpected argument 'file.csv'");
  CHECK(problem({"--options", "x.csv"}).starts_with("--options needs --underlying"));
}
