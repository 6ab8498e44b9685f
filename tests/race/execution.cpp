// SPDX-License-Identifier: Apache-2.0
#include "execution.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace race {

namespace {

// The finaliser of splitmix64: every bit of the input changes half the bits of the output.
[[nodiscard]] std::uint64_t scramble(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}
[[nodiscard]] std::uint64_t mix(std::uint64_t hash, std::uint64_t more) {
  return scramble(hash ^ scramble(more));
}
[[nodiscard]] std::uint64_t thread_part(std::size_t t, std::uint64_t chain) {
  return mix(chain, t + 1);
}
[[nodiscard]] std::uint64_t word_part(std::uint64_t order, std::uint64_t sleep) {
  return (order == 0 ? 0 : scramble(order)) + (sleep == 0 ? 0 : mix(sleep, 7));
}

[[nodiscard]] std::uint64_t peek(void const* address, std::size_t bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, address, bytes);  // little endian
  return value;
}
[[nodiscard]] std::uint64_t low_bytes(std::uint64_t value, std::size_t bytes) {
  return bytes == 8 ? value : value & ((std::uint64_t{1} << (8 * bytes)) - 1);
}

[[nodiscard]] char const* kind_name(operation_kind kind, bool stored) {
  switch (kind) {
    case operation_kind::load: return "load";
    case operation_kind::store: return "store";
    case operation_kind::compare_exchange: return stored ? "exchange" : "no exchange";
    case operation_kind::fetch_add: return "fetch_add";
    case operation_kind::fetch_or: return "fetch_or";
    case operation_kind::fetch_and: return "fetch_and";
    case operation_kind::wait: return "sleep";
    case operation_kind::woken: return "woken";
    case operation_kind::wake: return "wake";
    case operation_kind::read_bytes: return "read bytes";
    case operation_kind::write_bytes: return "write bytes";
  }
  return "";
}
[[nodiscard]] char const* order_name(ordering order) {
  if (order.total) { return "seq_cst"; }
  if (order.acquire && order.release) { return "acq_rel"; }
  return order.acquire ? "acquire" : order.release ? "release" : "relaxed";
}
[[nodiscard]] ordering order_of(operation const& op, bool stored) {
  if (op.kind == operation_kind::compare_exchange) {
    ordering o = stored ? op.success : op.failure;
    o.release = o.release && stored;
    return o;
  }
  bool const reads = op.kind != operation_kind::store;
  bool const writes = op.kind != operation_kind::load;
  return {op.success.acquire && reads, op.success.release && writes, op.success.total};
}

constexpr std::uint64_t store_tag = 0x73746f7265ULL;
constexpr std::uint64_t wake_tag = 0x77616b65ULL;

}  // namespace

void execution::start(std::size_t threads, options const& how) {
  threads_.resize(threads);
  for (thread_state& t : threads_) {
    t.at = stage::ready;
    t.fruitless = false;
    t.acted = t.saw_new = t.learned = t.changed = false;
    t.waiting = t.leaving = t.cannot_leave = false;
    t.idle_rounds = 0;
    t.number = 0;
    t.round_chain = 0;
    t.round_number = 0;
    t.known = {};
    t.chain = 0;
    t.polls.clear();
  }
  word_count_ = 0;
  sleep_hash_.clear();
  total_.clear();
  payload_.clear();
  trace_.clear();
  names_.clear();
  how_ = how;
  steps_ = 0;
  history_cut_ = false;
}

std::uint32_t execution::find_word(operation const& op) {
  for (std::size_t i = 0; i < word_count_; ++i) {
    if (words_[i].address == op.address) { return static_cast<std::uint32_t>(i); }
  }
  if (word_count_ == words_.size()) { words_.emplace_back(); }
  word& w = words_[word_count_];
  w.address = op.address;
  w.bytes = op.bytes;
  w.history.clear();
  w.history.emplace_back();
  w.history.back().value = peek(op.address, op.bytes);
  w.order_hash = 0;
  w.touched = 0;
  w.sites.clear();
  sleep_hash_.push_back(0);
  return static_cast<std::uint32_t>(word_count_++);
}

execution::poll const* execution::polled(thread_state const& me) const {
  for (poll const& p : me.polls) {
    if (p.word == me.word && p.site == me.next.site && p.expected == me.next.expected) {
      return &p;
    }
  }
  return nullptr;
}

bool execution::newer_in_round(thread_state const& me, poll const& here,
                               bool other_places_only) const {
  return std::any_of(me.polls.begin(), me.polls.end(), [&](poll const& p) {
    return p.count != 0 && p.count >= here.count && newer(p) && !(other_places_only && &p == &here);
  });
}

void execution::announce(std::size_t t, operation const& op) {
  thread_state& me = threads_[t];
  me.next = op;
  me.word = find_word(op);
  poll const* const here = polled(me);
  me.leaving = me.leaving && here != nullptr && here->awaited != 0;
  me.fruitless = me.fruitless ||
                 (here != nullptr && here->count > how_.polls && newer_in_round(me, *here, false));
}

bool execution::anything_newer(thread_state const& me) const {
  return std::any_of(me.polls.begin(), me.polls.end(),
                     [&](poll const& p) { return p.awaited != 0 && newer(p); });
}

// Whether a bounded inner loop may have come to its end, so that the thread sees what only the loop
// around it reads: perhaps something that it has read before.
bool execution::may_leave(thread_state const& me) const {
  return how_.inner_rounds != 0 && !me.cannot_leave &&
         std::any_of(me.polls.begin(), me.polls.end(),
                     [&](poll const& p) { return p.awaited == 0 && newer(p); });
}

// Whether the rest of the round can see something new if the read at `here` does not.
bool execution::new_later(thread_state const& me, poll const& here) const {
  return std::any_of(me.polls.begin(), me.polls.end(), [&](poll const& p) {
    std::uint32_t const done = p.count + (&p == &here ? 1 : 0);
    return done < p.awaited && newer(p);
  });
}

// The thread did more than read: what it read before does not make a round.
void execution::get_on(thread_state& me) {
  me.acted = true;
  me.leaving = me.cannot_leave = false;
  for (poll& p : me.polls) { p.count = p.awaited = 0; }
}

// The thread wrote its word: what it read there before is of no interest any more.
void execution::get_on_by_writing(thread_state& me) {
  get_on(me);
  std::erase_if(me.polls, [&](poll const& p) { return p.word == me.word; });
}

void execution::pause(std::size_t t) {
  thread_state& me = threads_[t];
  bool const nothing = !me.acted && !(me.saw_new && me.learned);
  if (me.leaving && !me.saw_new) {
    me.cannot_leave = ++me.inner_rounds > how_.inner_rounds;
    me.leaving = !me.cannot_leave;
    if (me.leaving) {
      me.chain = me.round_chain;
      me.number = me.round_number;
      begin_round(t);
      return;
    }
  }
  me.idle_rounds = me.acted ? 0 : me.idle_rounds + 1;
  for (poll& p : me.polls) { p.awaited = me.acted ? 0 : p.count; }
  me.waiting = me.idle_rounds >= how_.rounds && !me.changed;
  if (nothing && me.waiting) {
    // With something new to see, the round was in vain: the thread could as well have waited.
    me.fruitless = anything_newer(me);
    // Without, the thread is where it was.
    me.chain = me.round_chain;
    me.number = me.round_number;
  }
  begin_round(t);
}

void execution::begin_round(std::size_t t) {
  thread_state& me = threads_[t];
  for (poll& p : me.polls) { p.count = 0; }
  me.round_chain = me.chain;
  me.round_number = me.number;
  me.acted = me.saw_new = me.learned = me.changed = false;
}

bool execution::unannounced(std::size_t t) const {
  word const& w = words_[threads_[t].word];
  return w.bytes != threads_[t].next.bytes || peek(w.address, w.bytes) != w.history.back().value;
}

bool execution::touched_by_others(std::size_t t) const {
  return (words_[threads_[t].word].touched & ~(1U << t)) != 0;
}

std::vector<char const*> execution::shared_sites() const {
  std::vector<char const*> sites;
  for (std::size_t i = 0; i < word_count_; ++i) {
    word const& w = words_[i];
    bool const shared = (w.touched & (w.touched - 1)) != 0;
    if (shared) { sites.insert(sites.end(), w.sites.begin(), w.sites.end()); }
  }
  return sites;
}

bool execution::total_allows(std::size_t t, std::uint32_t w, std::size_t index, bool write) const {
  return total_.allows(t, threads_[t].known, {w, index, write}, words_[w]);
}

void execution::choices(std::size_t t, std::vector<std::uint32_t>& out) {
  thread_state const& me = threads_[t];
  if (me.at != stage::ready) { return; }
  if (me.waiting && !anything_newer(me) && !may_leave(me)) { return; }
  operation const& op = me.next;
  if (op.kind == operation_kind::wait || op.kind == operation_kind::wake ||
      op.kind == operation_kind::woken) {
    out.push_back(0);
    return;
  }
  std::vector<store_record> const& history = words_[me.word].history;
  std::size_t const n = history.size();
  std::size_t oldest = words_[me.word].oldest_readable(me.known);
  if (n - oldest > how_.history) {
    oldest = n - how_.history;
    history_cut_ = true;
  }
  if (op.kind == operation_kind::store) {
    for (std::size_t at = n; at > oldest; --at) {
      if (at < n && history[at].update) { continue; }
      if (op.success.total && !total_allows(t, me.word, at, true)) { continue; }
      out.push_back(static_cast<std::uint32_t>(at));
    }
    return;
  }
  // A loop that went round without reading anything new goes on only when it can.
  poll const* const here = always_updates(op.kind) ? nullptr : polled(me);
  bool may_repeat = true;
  if (here != nullptr && here->count >= how_.polls) {
    if (!newer_in_round(me, *here, false)) { return; }
    may_repeat = newer_in_round(me, *here, true);
  }
  if (here != nullptr && here->awaited != 0 && !me.acted && !me.saw_new && newer(*here)) {
    may_repeat = may_repeat && new_later(me, *here);
  }
  for (std::size_t i = n; i-- > oldest;) {
    store_record const& seen = history[i];
    bool const updates = succeeds(op, seen);
    ordering const order = order_of(op, updates);
    if (updates && i + 1 < n && history[i + 1].update) { continue; }
    bool const again = !updates && here != nullptr && seen.id() == here->store;
    if (again && (!may_repeat || (i + 1 < n && here->stale >= how_.stale))) { continue; }
    if (order.total && !total_allows(t, me.word, updates ? i + 1 : i, updates)) { continue; }
    out.push_back(static_cast<std::uint32_t>(i));
  }
}

std::uint64_t execution::hash_after(std::size_t t, std::uint32_t choice) const {
  thread_state const& me = threads_[t];
  operation const& op = me.next;
  word const& w = words_[me.word];
  std::uint64_t chain = me.chain;
  std::uint64_t order = w.order_hash;
  std::uint64_t sleep = sleep_hash_[me.word];
  std::uint64_t const id =
      (static_cast<std::uint64_t>(t + 1) << 32) | (me.number + 1);  // of this event
  auto const insert_at = [&](std::size_t at) {
    if (at == w.history.size()) {
      order = mix(order, id);
      return;
    }
    order = 0;
    for (std::size_t i = 1; i < w.history.size(); ++i) {
      if (i == at) { order = mix(order, id); }
      order = mix(order, w.history[i].id());
    }
  };
  switch (op.kind) {
    case operation_kind::store:
      chain = mix(chain, store_tag);
      insert_at(choice);
      break;
    case operation_kind::wait:
      chain = mix(chain, w.history.back().id());
      if (w.history.back().value == op.operand) { sleep = mix(sleep, id); }
      break;
    case operation_kind::wake:
      chain = mix(chain, wake_tag);
      sleep = mix(sleep, id);
      break;
    case operation_kind::woken: chain = mix(chain, wake_tag); break;
    default:
      chain = mix(chain, w.history[choice].id());
      if (succeeds(op, w.history[choice])) { insert_at(choice + std::size_t{1}); }
      break;
  }
  std::uint64_t hash = thread_part(t, chain) + word_part(order, sleep);
  for (std::size_t u = 0; u < threads_.size(); ++u) {
    if (u != t) { hash += thread_part(u, threads_[u].chain); }
  }
  for (std::size_t i = 0; i < word_count_; ++i) {
    if (i != me.word) { hash += word_part(words_[i].order_hash, sleep_hash_[i]); }
  }
  return hash;
}

void execution::read(std::size_t t, std::size_t index, ordering order, trace_line& line) {
  thread_state& me = threads_[t];
  word& w = words_[me.word];
  store_record& seen = w.history[index];
  clock const before = me.known;
  me.learned = me.learned || order.total || !seen.noticed(before);
  if (seen.first_read[t] == 0) { seen.first_read[t] = me.known.at[t]; }
  line.seen = seen.value;
  line.from = seen.step;
  line.stale = index + 1 < w.history.size();
  if (order.acquire) { me.known.join(seen.released); }
  me.learned = me.learned || before.at != me.known.at;
  me.chain = mix(me.chain, seen.id());
}

void execution::insert(std::size_t t, std::size_t at, std::uint64_t value, bool update,
                       ordering order, trace_line& line) {
  thread_state& me = threads_[t];
  word& w = words_[me.word];
  store_record added;
  added.value = value;
  added.time = me.known.at[t];
  added.number = me.number;
  added.thread = static_cast<std::int32_t>(t);
  added.step = static_cast<std::uint32_t>(trace_.size() + 1);
  added.update = update;
  if (update) { added.released = w.history[at - 1].released; }
  if (order.release) { added.released.join(me.known); }
  line.written = value;
  line.stored = true;
  line.ahead = static_cast<std::uint32_t>(w.history.size() - at);
  std::uint64_t const id = added.id();
  w.history.insert(w.history.begin() + static_cast<std::ptrdiff_t>(at), added);
  if (line.ahead == 0) {
    w.order_hash = mix(w.order_hash, id);
    std::memcpy(const_cast<void*>(w.address), &value, w.bytes);  // little endian
  } else {
    w.order_hash = 0;
    for (std::size_t i = 1; i < w.history.size(); ++i) {
      w.order_hash = mix(w.order_hash, w.history[i].id());
    }
  }
  get_on_by_writing(me);
}

outcome execution::perform(std::size_t t, std::uint32_t choice) {
  thread_state& me = threads_[t];
  operation const& op = me.next;
  word& w = words_[me.word];
  clock const before = me.known;
  std::uint32_t const time = ++me.known.at[t];
  if (me.waiting && !anything_newer(me)) {
    me.leaving = true;
    me.inner_rounds = 0;
  }
  me.waiting = false;
  std::uint64_t const id = (static_cast<std::uint64_t>(t + 1) << 32) | ++me.number;
  ++steps_;
  std::uint32_t const touched = w.touched | 1U << t;
  bool const new_place = std::find(w.sites.begin(), w.sites.end(), op.site) == w.sites.end();
  if (new_place) { w.sites.push_back(op.site); }
  sharing_changed_ = (touched & (touched - 1)) != 0 && (new_place || touched != w.touched);
  w.touched = touched;
  trace_line line;
  line.thread = static_cast<std::uint32_t>(t);
  line.choice = choice;
  line.kind = op.kind;
  line.word = me.word;
  line.site = op.site;
  line.order = order_of(op, false);
  switch (op.kind) {
    case operation_kind::store: {
      if (op.success.total) { total_.add(t, before, time, {me.word, choice, true}, w, id); }
      me.chain = mix(me.chain, store_tag);
      insert(t, choice, op.operand, false, op.success, line);
      break;
    }
    case operation_kind::wait: {
      store_record& latest = w.history.back();
      if (latest.first_read[t] == 0) { latest.first_read[t] = time; }
      line.seen = latest.value;
      line.from = latest.step;
      me.chain = mix(me.chain, latest.id());
      get_on(me);
      if (latest.value == op.operand) {
        sleep_hash_[me.word] = mix(sleep_hash_[me.word], id);
        me.at = stage::asleep;
      }
      break;
    }
    case operation_kind::wake: {
      me.chain = mix(me.chain, wake_tag);
      sleep_hash_[me.word] = mix(sleep_hash_[me.word], id);
      get_on(me);
      for (thread_state& other : threads_) {
        if (other.at == stage::asleep && other.word == me.word) {
          other.at = stage::ready;
          other.next.kind = operation_kind::woken;
        }
      }
      break;
    }
    case operation_kind::woken: me.chain = mix(me.chain, wake_tag); break;
    default: {
      std::size_t const index = choice;
      std::uint64_t const seen_id = w.history[index].id();
      bool const updates = succeeds(op, w.history[index]);
      ordering const order = order_of(op, updates);
      line.order = order;
      if (order.total) {
        total_.add(t, before, time, {me.word, updates ? index + 1 : index, updates}, w,
                   updates ? id : seen_id);
      }
      read(t, index, order, line);
      if (updates) {
        std::uint64_t const value =
            low_bytes(updated(op.kind, w.history[index].value, op.operand), op.bytes);
        insert(t, index + 1, value, true, order, line);
        break;
      }
      auto const p = std::find_if(me.polls.begin(), me.polls.end(), [&](poll const& q) {
        return q.word == me.word && q.site == op.site;
      });
      if (p != me.polls.end() && p->store == seen_id && p->expected == op.expected) {
        ++p->count;
        p->stale += line.stale ? 1 : 0;
      } else {
        me.saw_new = true;
        me.cannot_leave = false;
        poll const fresh{op.site, me.word, seen_id, op.expected, 1, 0, line.stale ? 1U : 0U};
        if (p != me.polls.end()) {
          me.changed = me.changed || p->count != 0;
          *p = fresh;
        } else {
          me.polls.push_back(fresh);
        }
      }
      break;
    }
  }
  trace_.push_back(line);
  return {line.seen, line.stored};
}

std::string execution::racing(std::size_t t, bool write, bool atomic, char const* site,
                              payload_map::conflict const& c) const {
  return threads_[t].name + (atomic ? " atomically" : "") + (write ? " writes" : " reads") +
         " at \"" + site + "\" what " + threads_[c.thread].name + (c.wrote ? " wrote" : " read") +
         " at \"" + c.what.site + "\" (line " + std::to_string(c.what.step) +
         "), and nothing orders the two";
}

std::optional<std::string> execution::payload(std::size_t t, void const* p, std::size_t bytes,
                                              bool write, char const* site) {
  if (bytes == 0) { return std::nullopt; }
  thread_state& me = threads_[t];
  get_on(me);
  trace_line line;
  line.thread = static_cast<std::uint32_t>(t);
  line.kind = write ? operation_kind::write_bytes : operation_kind::read_bytes;
  line.site = site;
  line.bytes = bytes;
  trace_.push_back(line);
  auto const begin = reinterpret_cast<std::uintptr_t>(p);
  // Ordered before what the thread does next, so stamped with the time of its next operation.
  payload_map::touch const now{me.known.at[t] + 1, site, static_cast<std::uint32_t>(trace_.size())};
  payload_map::conflict const c = payload_.access(t, me.known, begin, begin + bytes, write, now);
  if (!c.found) { return std::nullopt; }
  return racing(t, write, false, site, c);
}

std::optional<std::string> execution::mixed(std::size_t t) const {
  if (payload_.empty()) { return std::nullopt; }
  thread_state const& me = threads_[t];
  auto const begin = reinterpret_cast<std::uintptr_t>(me.next.address);
  bool const write = me.next.kind != operation_kind::load;
  payload_map::conflict const c =
      payload_.overlap(t, me.known, begin, begin + me.next.bytes, write);
  if (!c.found) { return std::nullopt; }
  return racing(t, write, true, me.next.site, c);
}

std::string execution::word_name(std::uint32_t w) const {
  for (auto const& [address, name] : names_) {
    if (address == words_[w].address) { return name; }
  }
  return "word " + std::to_string(w);
}

std::string execution::trace() const {
  std::string text;
  char buffer[256];
  for (std::size_t i = 0; i < trace_.size(); ++i) {
    trace_line const& l = trace_[i];
    bool const bytes =
        l.kind == operation_kind::read_bytes || l.kind == operation_kind::write_bytes;
    bool const sleeping = l.kind == operation_kind::wait || l.kind == operation_kind::woken ||
                          l.kind == operation_kind::wake;
    std::string what = kind_name(l.kind, l.stored);
    if (!bytes && !sleeping) { what += std::string(" ") + order_name(l.order); }
    std::snprintf(buffer, sizeof(buffer), "%5zu  %-12s %-20s %-28s ", i + 1,
                  threads_[l.thread].name.c_str(), what.c_str(), l.site);
    text += buffer;
    text += bytes ? std::to_string(l.bytes) + " bytes" : word_name(l.word);
    bool const reads = !bytes && l.kind != operation_kind::store &&
                       l.kind != operation_kind::wake && l.kind != operation_kind::woken;
    if (reads) {
      text += ": saw " + std::to_string(l.seen);
      text += l.from == 0 ? " (initial" : " (line " + std::to_string(l.from);
      text += l.stale ? ", not the newest)" : ")";
    }
    if (l.stored) { text += (reads ? ", wrote " : ": wrote ") + std::to_string(l.written); }
    if (l.ahead != 0) { text += " before " + std::to_string(l.ahead) + " stores already there"; }
    text += '\n';
  }
  return text;
}

std::string execution::waits_for(std::size_t t) const {
  thread_state const& me = threads_[t];
  std::string text = me.name;
  text += me.at == stage::asleep ? " sleeps at \"" : " polls at \"";
  text += std::string(me.next.site) + "\" on " + word_name(me.word) + ", which holds " +
          std::to_string(words_[me.word].history.back().value);
  return text;
}

std::string execution::schedule() const {
  std::string text;
  for (trace_line const& l : trace_) {
    if (l.kind == operation_kind::read_bytes || l.kind == operation_kind::write_bytes) { continue; }
    text += std::to_string(l.thread) + ":" + std::to_string(l.choice) + " ";
  }
  return text;
}

}  // namespace race
