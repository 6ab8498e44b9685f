// SPDX-License-Identifier: Apache-2.0
#include "access.hpp"
#include "explorer.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using millrace::core::acq_rel;
using millrace::core::acquire;
using millrace::core::memory_order;
using millrace::core::relaxed;
using millrace::core::release;
using millrace::core::seq_cst;
using A = race::access;

struct words {
  std::uint32_t x = 0;
  std::uint32_t y = 0;
  std::uint32_t z = 0;
  std::uint32_t data = 0;
  std::uint32_t r[4] = {};
};

race::options const everything{.preemptions = race::unbounded};

// Every outcome "r0 r1 ..." that the threads can leave behind.
using thread_code = std::function<void(words&)>;
std::set<std::string> outcomes(std::initializer_list<thread_code> threads, int registers,
                               race::options const& how = everything) {
  std::set<std::string> seen;
  race::report const r = race::explore(how, [&](race::run& run) {
    auto& w = run.make<words>();
    for (thread_code const& code : threads) {
      run.thread([&w, &code] { code(w); });
    }
    run.after([&seen, &w, registers] {
      std::string text;
      for (int i = 0; i < registers; ++i) { text += std::to_string(w.r[i]) + " "; }
      seen.insert(text);
    });
  });
  CHECK_MESSAGE(r.proven(), r.text());
  return seen;
}
bool has(std::set<std::string> const& seen, char const* outcome) {
  return seen.count(outcome) != 0;
}

std::set<std::string> store_buffering(memory_order stores, memory_order loads) {
  return outcomes({[=](words& w) {
                     A::store(w.x, 1, stores, "x");
                     w.r[0] = A::load(w.y, loads, "y");
                   },
                   [=](words& w) {
                     A::store(w.y, 1, stores, "y");
                     w.r[1] = A::load(w.x, loads, "x");
                   }},
                  2);
}

race::report message_passing(memory_order store, memory_order load) {
  return race::explore(everything, [=](race::run& run) {
    auto& w = run.make<words>();
    run.thread("producer", [&w, store] {
      A::write(&w.data, sizeof(w.data), "data.write");
      w.data = 42;
      A::store(w.x, 1, store, "flag.publish");
    });
    run.thread("consumer", [&w, load] {
      if (A::load(w.x, load, "flag.poll") == 1) {
        A::read(&w.data, sizeof(w.data), "data.read");
        race::check(w.data == 42, "the payload arrived");
      }
    });
  });
}

}  // namespace

TEST_CASE("race: release and acquire pass a message") {
  CHECK(message_passing(release, acquire).proven());
}

TEST_CASE("race: a message passed by a relaxed store, or a relaxed load, is a data race") {
  race::report const store = message_passing(relaxed, acquire);
  REQUIRE(store.found(race::failure_kind::data_race));
  CHECK(store.text().find("data.write") != std::string::npos);
  CHECK(store.text().find("data.read") != std::string::npos);
  CHECK(store.text().find("producer") != std::string::npos);
  CHECK(store.text().find("consumer") != std::string::npos);
  CHECK(message_passing(release, relaxed).found(race::failure_kind::data_race));
}

TEST_CASE("race: store buffering shows with release and acquire and not with seq_cst") {
  CHECK(has(store_buffering(release, acquire), "0 0 "));
  CHECK(store_buffering(release, acquire).size() == 4);
  CHECK_FALSE(has(store_buffering(seq_cst, seq_cst), "0 0 "));
  CHECK(store_buffering(seq_cst, seq_cst).size() == 3);
  CHECK(has(store_buffering(seq_cst, acquire), "0 0 "));
  CHECK(has(store_buffering(release, seq_cst), "0 0 "));
}

TEST_CASE("race: load buffering does not show") {
  auto const seen = outcomes({[](words& w) {
                                w.r[0] = A::load(w.y, relaxed, "y");
                                A::store(w.x, 1, relaxed, "x");
                              },
                              [](words& w) {
                                w.r[1] = A::load(w.x, relaxed, "x");
                                A::store(w.y, 1, relaxed, "y");
                              }},
                             2);
  CHECK(seen.size() == 3);
  CHECK_FALSE(has(seen, "1 1 "));
}

TEST_CASE("race: two reads of one word by one thread never go back") {
  auto const seen = outcomes({[](words& w) {
                                A::store(w.x, 1, relaxed, "x");
                                A::store(w.x, 2, relaxed, "x");
                              },
                              [](words& w) {
                                w.r[0] = A::load(w.x, relaxed, "first");
                                w.r[1] = A::load(w.x, relaxed, "second");
                              }},
                             2);
  CHECK(seen == std::set<std::string>{"0 0 ", "0 1 ", "0 2 ", "1 1 ", "1 2 ", "2 2 "});
}

TEST_CASE("race: two readers agree on the order of two writers of one word") {
  auto const seen = outcomes({[](words& w) { A::store(w.x, 1, relaxed, "x"); },
                              [](words& w) { A::store(w.x, 2, relaxed, "x"); },
                              [](words& w) {
                                w.r[0] = A::load(w.x, relaxed, "first");
                                w.r[1] = A::load(w.x, relaxed, "second");
                              },
                              [](words& w) {
                                w.r[2] = A::load(w.x, relaxed, "first");
                                w.r[3] = A::load(w.x, relaxed, "second");
                              }},
                             4);
  CHECK(has(seen, "1 2 1 2 "));
  CHECK(has(seen, "2 1 2 1 "));
  CHECK_FALSE(has(seen, "1 2 2 1 "));
}

TEST_CASE("race: independent writes are seen in one order with seq_cst only") {
  auto const iriw = [](memory_order stores, memory_order loads) {
    return outcomes({[=](words& w) { A::store(w.x, 1, stores, "x"); },
                     [=](words& w) { A::store(w.y, 1, stores, "y"); },
                     [=](words& w) {
                       w.r[0] = A::load(w.x, loads, "x");
                       w.r[1] = A::load(w.y, loads, "y");
                     },
                     [=](words& w) {
                       w.r[2] = A::load(w.y, loads, "y");
                       w.r[3] = A::load(w.x, loads, "x");
                     }},
                    4);
  };
  CHECK(has(iriw(release, acquire), "1 0 1 0 "));
  CHECK_FALSE(has(iriw(seq_cst, seq_cst), "1 0 1 0 "));
  CHECK(iriw(seq_cst, seq_cst).size() == 15);
}

TEST_CASE("race: stores of two writers to two words may be ordered against program order") {
  std::set<std::pair<std::uint32_t, std::uint32_t>> weak;
  std::set<std::pair<std::uint32_t, std::uint32_t>> strong;
  for (bool const total : {false, true}) {
    race::report const r = race::explore(everything, [&](race::run& run) {
      auto& w = run.make<words>();
      memory_order const order = total ? seq_cst : release;
      run.thread([&w, order] {
        A::store(w.x, 1, order, "x");
        A::store(w.y, 2, order, "y");
      });
      run.thread([&w, order] {
        A::store(w.y, 1, order, "y");
        A::store(w.x, 2, order, "x");
      });
      run.after([&, total] { (total ? strong : weak).insert({w.x, w.y}); });
    });
    CHECK_MESSAGE(r.proven(), r.text());
  }
  CHECK(weak.count({1, 1}) == 1);
  CHECK(strong.count({1, 1}) == 0);
  CHECK(strong.size() == 3);
}

TEST_CASE("race: a seq_cst access elsewhere gives no happens-before") {
  // The flag is relaxed; the seq_cst accesses to y and z between do not order the payload.
  race::report const r = race::explore(everything, [](race::run& run) {
    auto& w = run.make<words>();
    run.thread([&w] {
      A::write(&w.data, sizeof(w.data), "data.write");
      A::store(w.y, 1, seq_cst, "y");
      A::store(w.x, 1, relaxed, "x");
    });
    run.thread([&w] {
      if (A::load(w.x, relaxed, "x") == 1) {
        (void)A::load(w.z, seq_cst, "z");
        A::read(&w.data, sizeof(w.data), "data.read");
      }
    });
  });
  CHECK(r.found(race::failure_kind::data_race));
}

TEST_CASE("race: write-to-read causality holds through a third thread") {
  auto const seen = outcomes({[](words& w) { A::store(w.x, 1, release, "x"); },
                              [](words& w) {
                                w.r[0] = A::load(w.x, acquire, "x");
                                A::store(w.y, 1, release, "y");
                              },
                              [](words& w) {
                                w.r[1] = A::load(w.y, acquire, "y");
                                w.r[2] = A::load(w.x, acquire, "x");
                              }},
                             3);
  CHECK_FALSE(has(seen, "1 1 0 "));
  CHECK(has(seen, "0 1 0 "));
}

TEST_CASE("race: a release sequence goes through updates and ends at a relaxed store") {
  auto const chain = [](bool update) {
    return race::explore(everything, [=](race::run& run) {
      auto& w = run.make<words>();
      run.thread([&w, update] {
        A::write(&w.data, sizeof(w.data), "data.write");
        A::store(w.x, 1, release, "x.release");
        if (!update) { A::store(w.x, 2, relaxed, "x.relaxed"); }
      });
      run.thread([&w, update] {
        if (update) { (void)A::fetch_add(w.x, 1, relaxed, "x.add"); }
      });
      run.thread([&w] {
        if (A::load(w.x, acquire, "x.poll") == 2) { A::read(&w.data, sizeof(w.data), "data.read"); }
      });
    });
  };
  CHECK(chain(true).proven());
  CHECK(chain(false).found(race::failure_kind::data_race));
}

TEST_CASE("race: a counter with a separate load and store loses an update") {
  auto const count = [](int how) {
    return race::explore(everything, [=](race::run& run) {
      auto& w = run.make<words>();
      for (int t = 0; t < 3; ++t) {
        run.thread([&w, how] {
          if (how == 0) {
            std::uint32_t const v = A::load(w.x, acquire, "x.load");
            A::store(w.x, v + 1, release, "x.store");
          } else if (how == 1) {
            (void)A::fetch_add(w.x, 1, relaxed, "x.add");
          } else {
            std::uint32_t v = A::load(w.x, relaxed, "x.load");
            while (!A::compare_exchange(w.x, v, v + 1, relaxed, relaxed, "x.exchange")) {}
          }
        });
      }
      run.after([&w] { race::check(w.x == 3, "every increment counts"); });
    });
  };
  CHECK(count(0).found(race::failure_kind::check));
  CHECK(count(1).proven());
  CHECK_MESSAGE(count(2).proven(), count(2).text());
}

TEST_CASE("race: a lock guards plain bytes only with acquire and release") {
  auto const locked = [](memory_order take, memory_order give) {
    return race::explore(everything, [=](race::run& run) {
      auto& w = run.make<words>();
      for (int t = 0; t < 2; ++t) {
        run.thread([&w, take, give] {
          for (std::uint32_t free = 0; !A::compare_exchange(w.x, free, 1, take, relaxed, "lock");) {
            free = 0;
          }
          A::write(&w.data, sizeof(w.data), "data.write");
          ++w.data;
          A::store(w.x, 0, give, "unlock");
        });
      }
      run.after([&w] { race::check(w.data == 2, "both threads were inside"); });
    });
  };
  CHECK_MESSAGE(locked(acquire, release).proven(), locked(acquire, release).text());
  CHECK(locked(relaxed, release).found(race::failure_kind::data_race));
  CHECK(locked(acquire, relaxed).found(race::failure_kind::data_race));
}

TEST_CASE("race: a polling loop is finite and a missing store is a deadlock") {
  race::report const good = race::explore(everything, [](race::run& run) {
    auto& w = run.make<words>();
    run.thread([&w] {
      while (A::load(w.x, acquire, "x.poll") == 0 && A::load(w.y, acquire, "y.poll") == 0) {}
    });
    run.thread([&w] {
      (void)A::fetch_add(w.z, 1, relaxed, "z");
      A::store(w.y, 1, release, "y.store");
    });
  });
  CHECK_MESSAGE(good.proven(), good.text());
  race::report const bad = race::explore(everything, [](race::run& run) {
    auto& w = run.make<words>();
    run.thread("waiter", [&w] {
      while (A::load(w.x, acquire, "x.poll") != 2) { (void)A::load(w.z, relaxed, "z.poll"); }
    });
    run.thread([&w] {
      A::store(w.x, 1, release, "x.store");
      A::store(w.z, 1, release, "z.store");
    });
  });
  REQUIRE(bad.found(race::failure_kind::deadlock));
  CHECK(bad.first->words.find("waiter polls at") != std::string::npos);
}

TEST_CASE("race: sleeping after a flag needs seq_cst on both sides") {
  // The waker publishes, then looks for a sleeper; the sleeper says so, then looks for work.
  auto const sleep = [](memory_order store, memory_order load) {
    return race::explore(everything, [=](race::run& run) {
      auto& w = run.make<words>();
      run.thread("waker", [&w, store, load] {
        A::store(w.x, 1, store, "work.publish");
        if (A::load(w.y, load, "sleeper.look") == 1) {
          A::store(w.z, 1, release, "bell.ring");
          A::wake(w.z, "bell.wake");
        }
      });
      run.thread("sleeper", [&w, store, load] {
        A::store(w.y, 1, store, "sleeper.announce");
        if (A::load(w.x, load, "work.look") == 0) { A::wait(w.z, 0, "bell.sleep"); }
      });
    });
  };
  CHECK_MESSAGE(sleep(seq_cst, seq_cst).proven(), sleep(seq_cst, seq_cst).text());
  race::report const lost = sleep(release, acquire);
  REQUIRE(lost.found(race::failure_kind::deadlock));
  CHECK(lost.first->words.find("sleeper sleeps at \"bell.sleep\"") != std::string::npos);
}

TEST_CASE("race: an execution that never ends is reported") {
  race::options how = everything;
  how.max_steps = 200;
  race::report const r = race::explore(how, [](race::run& run) {
    auto& w = run.make<words>();
    run.thread([&w] {
      while (A::load(w.y, relaxed, "y") == 0) { (void)A::fetch_add(w.x, 1, relaxed, "x"); }
    });
    run.thread([&w] { A::store(w.y, 1, relaxed, "y"); });
  });
  CHECK(r.found(race::failure_kind::endless));
}

TEST_CASE("race: a word that changes without the policy is reported") {
  race::report const r = race::explore(everything, [](race::run& run) {
    auto& w = run.make<words>();
    run.thread([&w] {
      A::store(w.x, 1, relaxed, "x");
      w.x = 5;
      (void)A::load(w.x, relaxed, "x");
    });
  });
  CHECK(r.found(race::failure_kind::unannounced));
}

TEST_CASE("race: payload bytes race where they overlap and nowhere else") {
  struct bytes {
    std::uint64_t all[4] = {};
  };
  auto const overlap = [](std::size_t first, std::size_t count) {
    return race::explore(everything, [=](race::run& run) {
      auto& b = run.make<bytes>();
      run.thread([&b] { A::write(&b.all[1], 16, "left"); });
      run.thread([&b, first, count] { A::read(&b.all[first], 8 * count, "right"); });
    });
  };
  CHECK(overlap(0, 1).proven());
  CHECK(overlap(3, 1).proven());
  CHECK(overlap(0, 2).found(race::failure_kind::data_race));
  CHECK(overlap(2, 1).found(race::failure_kind::data_race));
  CHECK(overlap(0, 4).found(race::failure_kind::data_race));
}

TEST_CASE("race: a failing execution is replayed from its schedule") {
  auto const body = [](race::run& run) {
    auto& w = run.make<words>();
    for (int t = 0; t < 2; ++t) {
      run.thread([&w] {
        std::uint32_t const v = A::load(w.x, acquire, "x.load");
        A::store(w.x, v + 1, release, "x.store");
      });
    }
    run.after([&w] { race::check(w.x == 2, "every increment counts"); });
  };
  race::report const first = race::explore(everything, body);
  REQUIRE(first.first.has_value());
  race::options again;
  again.replay = first.first->schedule;
  race::report const second = race::explore(again, body);
  REQUIRE(second.first.has_value());
  CHECK(second.first->trace == first.first->trace);
  CHECK(second.executions + second.cut == 1);
}

TEST_CASE("race: preemption bounds grow to the whole") {
  auto const body = [](race::run& run) {
    auto& w = run.make<words>();
    for (int t = 0; t < 2; ++t) {
      run.thread([&w] {
        for (int i = 0; i < 3; ++i) { (void)A::fetch_add(w.x, 1, relaxed, "x.add"); }
      });
    }
  };
  std::uint64_t const interleavings[] = {2, 6, 14, 18, 20};
  for (std::uint32_t bound = 0; bound < 5; ++bound) {
    race::options how;
    how.preemptions = bound;
    race::report const r = race::explore(how, body);
    CHECK(r.proven());
    CHECK(r.executions + r.cut >= interleavings[bound] / 2);
  }
  race::report const r = race::explore(everything, body);
  CHECK(r.executions == 20);  // 6 over 3: each order of the updates is another modification order
}

TEST_CASE("race: random priorities find a lost update and say how to see it again") {
  auto const body = [](race::run& run) {
    auto& w = run.make<words>();
    for (int t = 0; t < 4; ++t) {
      run.thread([&w] {
        for (int i = 0; i < 4; ++i) {
          std::uint32_t const v = A::load(w.x, acquire, "x.load");
          A::store(w.x, v + 1, release, "x.store");
        }
      });
    }
    run.after([&w] { race::check(w.x == 16, "every increment counts"); });
  };
  race::options how;
  how.random = 1000;
  race::report const r = race::explore(how, body);
  REQUIRE(r.found(race::failure_kind::check));
  race::options again;
  again.replay = r.first->schedule;
  CHECK(race::explore(again, body).found(race::failure_kind::check));
}

TEST_CASE("race: a bounded inner loop is left when the outer one has something to see") {
  auto const nested = [](bool stops) {
    race::options how = everything;
    how.inner_rounds = 4;
    return race::explore(how, [stops](race::run& run) {
      auto& w = run.make<words>();
      run.thread("watcher", [&w] {
        for (race::begin_round(); A::load(w.x, acquire, "outer") == 0; race::pause()) {
          for (int i = 0; i < 4 && A::load(w.y, relaxed, "inner") == 0; ++i) { race::pause(); }
        }
      });
      run.thread([&w, stops] { A::store(stops ? w.x : w.z, 1, release, "stop"); });
    });
  };
  CHECK_MESSAGE(nested(true).proven(), nested(true).text());
  CHECK(nested(false).found(race::failure_kind::deadlock));
}

TEST_CASE("race: entering each state once loses no outcome of random programs") {
  std::uint64_t state = 42;
  auto const roll = [&state](std::uint32_t n) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::uint32_t>(state >> 33) % n;
  };
  struct step {
    std::uint32_t kind;
    std::uint32_t word;
    memory_order load;
    memory_order store;
  };
  memory_order const loads[] = {relaxed, acquire, seq_cst};
  memory_order const stores[] = {relaxed, release, seq_cst};
  std::size_t outcomes_seen = 0;
  for (int program = 0; program < 200; ++program) {
    std::vector<std::vector<step>> threads(2 + roll(2));
    for (auto& code : threads) {
      code.resize(threads.size() == 2 ? 3 : 2);
      for (step& s : code) { s = {roll(6), roll(2), loads[roll(3)], stores[roll(3)]}; }
    }
    auto const run_all = [&](bool reduce) {
      std::set<std::string> seen;
      race::options how = everything;
      how.reduce = reduce;
      how.rounds = reduce ? 1 : 4;
      how.stale = 8;
      race::report const r = race::explore(how, [&](race::run& run) {
        auto& w = run.make<words>();
        auto& log = run.make<std::array<std::string, 3>>();
        for (std::size_t t = 0; t < threads.size(); ++t) {
          run.thread([&, t] {
            for (std::size_t i = 0; i < threads[t].size(); ++i) {
              step const& s = threads[t][i];
              std::uint32_t& word = s.word == 0 ? w.x : w.y;
              auto const value = static_cast<std::uint32_t>(1 + 3 * t + i);
              std::uint32_t expected = 0;
              switch (s.kind) {
                case 0:
                case 1: A::store(word, value, s.store, "store"); break;
                case 2: expected = A::fetch_add(word, 10, s.store, "add"); break;
                case 3:
                  (void)A::compare_exchange(word, expected, value, s.store, relaxed, "exchange");
                  break;
                case 4:
                  // with reduction the loop waits; without, it gives up and the outcome is dropped
                  if (t != 0) { break; }
                  race::begin_round();
                  for (int tries = 0; reduce || tries < 3; ++tries) {
                    expected = A::load(word, s.load, "await");
                    if (expected != 0) { break; }
                    race::pause();
                  }
                  if (expected == 0) {
                    log[0] += '!';
                    return;
                  }
                  break;
                default: expected = A::load(word, s.load, "load"); break;
              }
              log[t] += static_cast<char>('0' + expected);
            }
            if (t == 1) {
              A::store(w.x, 7, release, "last.x");
              A::store(w.y, 7, release, "last.y");
            }
          });
        }
        run.after([&] {
          if (log[0].find('!') != std::string::npos) { return; }
          seen.insert(log[0] + "," + log[1] + "," + log[2] + ":" + std::to_string(w.x) + "," +
                      std::to_string(w.y));
        });
      });
      CHECK_MESSAGE(r.proven(), r.summary("random program"));
      return seen;
    };
    std::set<std::string> const whole = run_all(false);
    CHECK(run_all(true) == whole);
    outcomes_seen += whole.size();
  }
  CHECK(outcomes_seen > 1000);
}

TEST_CASE("race: planted policies weaken the named place only") {
  using bad = race::weakened<"flag.publish">;
  CHECK(bad::weaken(release, "flag.publish") == relaxed);
  CHECK(bad::weaken(release, "flag.publish.other") == release);
  using lowered = race::without_total_order<"flag.publish">;
  CHECK(lowered::lower(seq_cst, "flag.publish", release) == release);
  CHECK(lowered::lower(acquire, "flag.publish", release) == acquire);
}
