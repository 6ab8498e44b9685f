// SPDX-License-Identifier: Apache-2.0
#include "scheduler.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <sstream>
#include <stdexcept>

namespace race {

bool state_table::enter(std::uint64_t key, std::uint32_t preemptions) {
  if (2 * size_ >= keys_.size()) { grow(); }
  key = key == 0 ? 1 : key;
  auto const spent = static_cast<std::uint8_t>(std::min<std::uint32_t>(preemptions, 255));
  std::size_t const mask = keys_.size() - 1;
  for (std::size_t i = key & mask;; i = (i + 1) & mask) {
    if (keys_[i] == key) {
      if (spent_[i] <= spent) { return false; }
      spent_[i] = spent;
      return true;
    }
    if (keys_[i] == 0) {
      keys_[i] = key;
      spent_[i] = spent;
      ++size_;
      return true;
    }
  }
}

void state_table::grow() {
  std::vector<std::uint64_t> keys(2 * keys_.size());
  std::vector<std::uint8_t> spent(2 * keys_.size());
  std::size_t const mask = keys.size() - 1;
  for (std::size_t old = 0; old < keys_.size(); ++old) {
    if (keys_[old] == 0) { continue; }
    std::size_t i = keys_[old] & mask;
    while (keys[i] != 0) { i = (i + 1) & mask; }
    keys[i] = keys_[old];
    spent[i] = spent_[old];
  }
  keys_ = std::move(keys);
  spent_ = std::move(spent);
}

scheduler::scheduler(options const& how, std::function<void(run&)> const& body)
    : how_(how), body_(body), random_state_(how.seed) {
  current_ = this;
  report_ = empty_report();
  std::istringstream replay(how.replay);
  decision d;
  for (char colon = 0; replay >> d.thread >> colon >> d.choice;) { forced_.push_back(d); }
}

report scheduler::empty_report() const {
  report r;
  r.preemptions = how_.preemptions;
  r.random = how_.random != 0;
  return r;
}

scheduler::~scheduler() { current_ = nullptr; }

// Random executions, to see which places touch words of several threads.
void scheduler::warm_up() {
  for (std::uint32_t i = 0; i < 64; ++i) {
    report_.random = true;
    depth_ = 0;
    begin_random();
    run_once();
    learn();
    report_ = empty_report();
  }
  quiet_ = true;
}

void scheduler::learn() {
  for (char const* const site : execution_.shared_sites()) {
    if (!shared(site)) { shared_.push_back(site); }
  }
}

bool scheduler::shared(char const* site) const {
  return std::find(shared_.begin(), shared_.end(), site) != shared_.end();
}

report scheduler::explore() {
  auto const begin = std::chrono::steady_clock::now();
  bool const replay = !forced_.empty();
  if (!report_.random && !replay && how_.reduce) { warm_up(); }
  for (std::uint64_t i = 0;; ++i) {
    if (report_.random && i == how_.random) { break; }
    if (!report_.random && report_.executions + report_.cut >= how_.max_executions) { break; }
    depth_ = 0;
    if (report_.random) { begin_random(); }
    run_once();
    if (restart_) {
      report_ = empty_report();
      states_ = {};
      pool_.clear();
      trail_.clear();
      restart_ = false;
      continue;
    }
    report_.steps += execution_.steps();
    report_.history_cut = report_.history_cut || execution_.history_cut();
    report_.longest = std::max<std::size_t>(report_.longest, execution_.steps());
    if (report_.first.has_value() || replay) { break; }
    if (!report_.random && !backtrack()) {
      report_.complete = true;
      break;
    }
  }
  report_.states = states_.size();
  report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report_;
}

void scheduler::run_once() {
  run one;
  run_ = &one;
  ended_ = false;
  try {
    body_(one);
    std::size_t const threads = one.threads_.size();
    if (threads > max_threads) { throw std::length_error("race: too many threads"); }
    execution_.start(threads, how_);
    for (auto const& [word, name] : one.names_) { execution_.name_word(word, name); }
    while (workers_.size() < threads) {
      workers_.push_back(std::make_unique<worker>());
      workers_.back()->owner = this;
      workers_.back()->number = workers_.size() - 1;
    }
    // Each thread runs up to its first operation; from then on there is a choice.
    starting_ = true;
    for (std::size_t t = 0; t < threads && !ended_; ++t) {
      execution_.name_thread(t, one.threads_[t].name);
      running_ = t;
      workers_[t]->stack.restart(&enter_thread, workers_[t].get());
      workers_[t]->stack.resume();
    }
    starting_ = false;
    running_ = threads;
    if (!ended_ && decide()) {
      running_ = next_.thread;
      workers_[running_]->stack.resume();
    }
    if (ended_) {
      ++report_.cut;
    } else {
      ++report_.executions;
      if (one.after_) { one.after_(); }
    }
  } catch (stopped const&) {
  } catch (std::exception const& e) {
    if (!report_.first) {
      report_.first = failure{failure_kind::check, std::string("exception: ") + e.what(),
                              execution_.trace(), execution_.schedule()};
    }
  }
  run_ = nullptr;
}

void scheduler::enter_thread(void* argument) {
  worker const& w = *static_cast<worker*>(argument);
  scheduler& self = *w.owner;
  try {
    self.run_->threads_[w.number].code();
  } catch (std::exception const& e) {
    self.fail(failure_kind::check, std::string("exception: ") + e.what());
  }
  self.execution_.finish(w.number);
  if (!self.starting_) { self.pass_on(); }
  fiber::resume_thread();
}

// Chooses who goes on and lets it; returns when the running thread is chosen, now or later.
void scheduler::pass_on() {
  std::size_t const me = running_;
  if (!decide()) { fiber::resume_thread(); }
  running_ = next_.thread;
  if (running_ != me) { workers_[running_]->stack.resume(); }
}

// Whether the operation needs no scheduling point: nobody else touches its word, or it is one more
// round of a loop that the thread leaves.
bool scheduler::unwatched(std::size_t t, operation const& op) {
  bool const alone = quiet_ && !shared(op.site) && !execution_.touched_by_others(t);
  bool const leaving = execution_.leaving(t) && forced_.empty();
  if (execution_.steps() >= how_.max_steps || !(alone || leaving)) { return false; }
  scratch_.clear();
  execution_.choices(t, scratch_);
  return !scratch_.empty();
}

void scheduler::check_sharing() {
  std::size_t const known = shared_.size();
  learn();
  if (shared_.size() == known) { return; }
  restart_ = ended_ = true;
  fiber::resume_thread();
}

outcome scheduler::perform(operation const& op) {
  std::size_t const me = running_;
  execution_.announce(me, op);
  if (unwatched(me, op)) {
    next_.choice = scratch_.front();
  } else if (starting_) {
    fiber::resume_thread();
  } else {
    pass_on();
  }
  if (execution_.unannounced(me)) {
    fail(failure_kind::unannounced, execution_.thread_name(me) + " at \"" + op.site +
                                        "\": the word changed without the access policy, or is "
                                        "accessed with two sizes");
  }
  if (auto race = execution_.mixed(me)) { fail(failure_kind::data_race, std::move(*race)); }
  outcome const o = execution_.perform(me, next_.choice);
  if (quiet_ && execution_.sharing_changed()) { check_sharing(); }
  if (execution_.asleep(me)) {
    pass_on();
    (void)execution_.perform(me, next_.choice);
  }
  return o;
}

void scheduler::payload(void const* p, std::size_t bytes, bool write, char const* site) {
  auto race = execution_.payload(running_, p, bytes, write, site);
  if (race) { fail(failure_kind::data_race, std::move(*race)); }
}

void scheduler::fail(failure_kind kind, std::string words) {
  if (!report_.first) {
    report_.first = failure{kind, std::move(words), execution_.trace(), execution_.schedule()};
  }
  ended_ = true;
  if (exploring()) { fiber::resume_thread(); }
  throw stopped{};
}

void scheduler::deadlocked() {
  std::string words;
  for (std::size_t t = 0; t < execution_.threads(); ++t) {
    if (!execution_.done(t)) { words += (words.empty() ? "" : "; ") + execution_.waits_for(t); }
  }
  if (words.empty()) { return; }
  ended_ = true;
  report_.first =
      failure{failure_kind::deadlock, std::move(words), execution_.trace(), execution_.schedule()};
}

bool scheduler::decide() {
  if (execution_.steps() >= how_.max_steps) {
    ended_ = true;
    report_.first = failure{failure_kind::endless,
                            "still running after " + std::to_string(how_.max_steps) + " steps",
                            execution_.trace(), execution_.schedule()};
    return false;
  }
  if (running_ < execution_.threads() && !execution_.done(running_) &&
      execution_.fruitless(running_)) {
    ended_ = true;
    return false;
  }
  if (depth_ < forced_.size()) {
    next_ = forced_[depth_++];
    return true;
  }
  if (report_.random) { return decide_randomly(); }
  if (depth_ < trail_.size()) {
    next_ = pool_[trail_[depth_++].chosen];
    return true;
  }
  return decide_new();
}

bool scheduler::admit(decision const& d) {
  return !how_.reduce || states_.enter(d.key, d.preemptions);
}

bool scheduler::decide_new() {
  bool const bounded = how_.preemptions != unbounded;
  std::size_t const threads = execution_.threads();
  std::size_t const begin = pool_.size();
  std::uint32_t const spent = depth_ == 0 ? 0 : next_.preemptions;
  std::size_t const first = running_ < threads ? running_ : 0;
  bool first_goes_on = false;
  bool any = false;
  for (std::size_t k = 0; k < threads; ++k) {
    std::size_t const t = (first + k) % threads;
    scratch_.clear();
    execution_.choices(t, scratch_);
    any = any || !scratch_.empty();
    if (k == 0) { first_goes_on = running_ < threads && !scratch_.empty(); }
    std::uint32_t const cost = bounded && k != 0 && first_goes_on ? 1 : 0;
    if (bounded && spent + cost > how_.preemptions) { continue; }
    for (std::uint32_t const choice : scratch_) {
      decision d{static_cast<std::uint32_t>(t), choice, spent + cost,
                 execution_.hash_after(t, choice)};
      if (bounded) { d.key = (d.key ^ (t + 1)) * 0x9e3779b97f4a7c15U; }
      pool_.push_back(d);
    }
  }
  if (!any) {
    deadlocked();
    return false;
  }
  std::size_t chosen = begin;
  while (chosen < pool_.size() && !admit(pool_[chosen])) { ++chosen; }
  if (chosen == pool_.size()) {
    pool_.resize(begin);
    ended_ = true;
    return false;
  }
  trail_.push_back({begin, chosen});
  ++depth_;
  next_ = pool_[chosen];
  return true;
}

bool scheduler::backtrack() {
  while (!trail_.empty()) {
    branch& b = trail_.back();
    for (++b.chosen; b.chosen < pool_.size(); ++b.chosen) {
      if (admit(pool_[b.chosen])) { return true; }
    }
    pool_.resize(b.begin);
    trail_.pop_back();
  }
  return false;
}

std::uint64_t scheduler::random() {
  std::uint64_t x = random_state_ += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

void scheduler::begin_random() {
  priorities_.clear();
  for (std::size_t t = 0; t < max_threads; ++t) { priorities_.push_back(random() | (1ULL << 32)); }
  changes_.clear();
  std::uint64_t const length = std::max<std::size_t>(report_.longest, 32);
  for (std::uint32_t i = 0; i < how_.depth; ++i) {
    changes_.push_back(static_cast<std::uint32_t>(random() % length));
  }
  lowest_ = 1ULL << 32;
}

bool scheduler::decide_randomly() {
  if (running_ < execution_.threads() &&
      std::find(changes_.begin(), changes_.end(), execution_.steps()) != changes_.end()) {
    priorities_[running_] = --lowest_;
  }
  std::size_t best = execution_.threads();
  for (std::size_t t = 0; t < execution_.threads(); ++t) {
    scratch_.clear();
    execution_.choices(t, scratch_);
    if (scratch_.empty()) { continue; }
    if (best == execution_.threads() || priorities_[t] > priorities_[best]) { best = t; }
  }
  if (best == execution_.threads()) {
    deadlocked();
    return false;
  }
  scratch_.clear();
  execution_.choices(best, scratch_);
  // Half of the time the newest store, or else any.
  bool const newest = scratch_.size() == 1 || (random() & 1) != 0;
  next_ = {static_cast<std::uint32_t>(best),
           newest ? scratch_.front() : scratch_[random() % scratch_.size()], 0, 0};
  ++depth_;
  return true;
}

char const* describe(failure_kind kind) noexcept {
  switch (kind) {
    case failure_kind::data_race: return "data race";
    case failure_kind::deadlock: return "deadlock";
    case failure_kind::check: return "failed check";
    case failure_kind::endless: return "endless execution";
    case failure_kind::unannounced: return "unannounced access";
  }
  return "";
}

std::string report::summary(std::string_view what) const {
  char buffer[256];
  char bound[64];
  if (preemptions == unbounded) {
    std::snprintf(bound, sizeof(bound), "all interleavings");
  } else {
    std::snprintf(bound, sizeof(bound), "%u preemptions", preemptions);
  }
  char const* const how = random     ? "random priorities"
                          : first    ? "stopped at a failure"
                          : proven() ? "exhaustive"
                          : sampled  ? "a sample"
                          : complete ? "exhaustive but for stores beyond the history bound"
                                     : "cut off by max_executions";
  std::snprintf(buffer, sizeof(buffer),
                ": %llu executions to the end, %llu cut, %llu states, longest %zu, %.2f s (%s",
                static_cast<unsigned long long>(executions), static_cast<unsigned long long>(cut),
                static_cast<unsigned long long>(states), longest, seconds, how);
  std::string text = "race: " + std::string(what) + buffer;
  text += random ? ")" : std::string(", ") + bound + ")";
  if (first) { text += std::string(" -> ") + describe(first->kind) + ": " + first->words; }
  return text;
}

std::string report::text() const {
  if (!first) { return {}; }
  return std::string(describe(first->kind)) + ": " + first->words + "\n" + first->trace +
         "replay: " + first->schedule + "\n";
}

report explore(options const& how, std::function<void(run&)> const& body) {
  options within = how;
  if (char const* const most = std::getenv("MILLRACE_RACE_EXECUTIONS")) {
    std::uint64_t const sample = std::strtoull(most, nullptr, 10);
    within.max_executions = std::min(how.max_executions, sample);
    within.random = std::min(how.random, sample);
  }
  report found = scheduler(within, body).explore();
  found.sampled = !found.complete && !found.first && within.max_executions < how.max_executions;
  return found;
}

void pause() {
  if (scheduler::exploring()) { scheduler::current().pause(); }
}

void begin_round() {
  if (scheduler::exploring()) { scheduler::current().begin_round(); }
}

std::size_t this_thread() { return scheduler::current().running(); }

void check(bool condition, std::string_view words) {
  if (!condition) { scheduler::current().fail(failure_kind::check, std::string(words)); }
}

}  // namespace race
