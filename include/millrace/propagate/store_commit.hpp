// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/journal.hpp>
#include <millrace/propagate/record.hpp>
#include <millrace/propagate/store_core.hpp>
#include <millrace/propagate/store_policy.hpp>

#include <cuda/std/span>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

/// \file
/// What transactions have written takes effect, in the lane.

namespace millrace::inline v0::propagate::detail {

/// Transactions that come one after the other are one group, one record and one epoch: as many as
/// can be decided on before what they have written has taken effect.
/// @return the first request that is not of the group
template <class P>
auto store_core<P>::commit_group(request* first) noexcept -> request* {
  error why = make_room();
  request* end = first;
  std::uint64_t accepted = 0;
  for (; end != nullptr && end->run == nullptr; end = static_cast<request*>(end->next)) {
    auto& c = static_cast<commit_request<P>&>(*end);
    if (accepted != 0 && reads_computed(c)) { break; }
    c.why = why.code != errc::ok ? why : accept(c);
    if (c.why.code == errc::ok) { ++accepted; }
  }
  if (accepted == 0) { return end; }
  why = write_record();
  if (why.code == errc::ok) { take_effect(); }
  disclaim();
  for (request* r = first; r != end; r = static_cast<request*>(r->next)) {
    auto& c = static_cast<commit_request<P>&>(*r);
    if (c.why.code != errc::ok) { continue; }
    c.why = why;
    c.epoch = epoch + 1;
  }
  if (why.code != errc::ok) { return end; }
  add(commits, accepted);
  publish_epoch();
  return end;
}

template <class P>
bool store_core<P>::reads_computed(commit_request<P> const& c) noexcept {
  return P::level == isolation::serializable &&
         std::any_of(c.accesses->begin(), c.accesses->end(),
                     [](auto const& each) { return each.was_read && !each.cell->is_input; });
}

/// Takes a transaction into the group if nothing has changed of what it relies on.
template <class P>
error store_core<P>::accept(commit_request<P>& c) noexcept {
  std::uint32_t written = 0;
  for (auto const& each : *c.accesses) {
    bool const writes = each.writes();
    written += writes ? 1 : 0;
    bool const relies = P::level == isolation::serializable ? each.was_read : writes;
    version const& newest = *each.cell->versions.newest();
    if ((relies && (each.cell->claimed || newest.epoch > c.epoch)) || (writes && newest.gone)) {
      return refuse(c, each.cell->cell);
    }
  }
  if constexpr (P::level == isolation::serializable) {
    for (node_id const& each : c.accesses->missed()) {
      track_type const* const t = find(each);
      if (t != nullptr && !t->is_gone() && !t->is_in(c.epoch)) { return refuse(c, each); }
    }
  }
  if (!claimed_.reserve(claimed_.size() + written)) { return {errc::out_of_memory, {}, 0}; }
  for (auto& each : *c.accesses) {
    if (!each.writes()) { continue; }
    track_type& t = *each.cell;
    if (each.has_small) {
      if (t.staged == nullptr) { t.staged = t.spare->take(); }
      std::memcpy(t.of->value(t.staged), each.small, t.of->small);
    } else {
      std::swap(t.staged, each.written);
    }
    if (!std::exchange(t.claimed, true)) { claimed_.push(&t); }
  }
  return {};
}

template <class P>
error store_core<P>::refuse(commit_request<P>& c, node_id const& cell) noexcept {
  add(conflicts, 1);
  c.conflict = cell;
  return {errc::conflict, {}, static_cast<std::int32_t>(cell.slot)};
}

template <class P>
error store_core<P>::write_record() noexcept {
  if constexpr (keeps_records<typename P::journal>) {
    for (track_type* t : claimed_) {
      auto const room = writer_.add({t->record, t->name, t->of->value(t->staged)});
      if (!room) { return room.error(); }
    }
    auto const record = writer_.finish();
    if (!record) { return record.error(); }
    if (auto const kept = keeper.append(epoch + 1, *record); !kept) { return kept.error(); }
  }
  return {};
}

template <class P>
void store_core<P>::take_effect() noexcept {
  in->begin_pass();
  auto first = in->pending.nothing();
  for (track_type* t : claimed_) {
    std::uint32_t const i = in->index_of(t->cell.slot);
    in->write_input(i, first,
                    [&] { return in->nodes(i).what->assign(*in, i, t->of->value(t->staged)); });
  }
  in->end_pass(first);
}

/// The group is decided on; what took no effect goes.
template <class P>
void store_core<P>::disclaim() noexcept {
  for (track_type* each : claimed_) {
    each->claimed = false;
    if (each->staged != nullptr) { put(*each, std::exchange(each->staged, nullptr)); }
  }
  claimed_.clear();
}

template <class P>
error store_core<P>::replay(cuda::std::span<std::byte const> bytes) noexcept {
  if (error const why = make_room(); why.code != errc::ok) { return why; }
  accesses_type all(from);
  struct reading {
    store_core* core;
    accesses_type* to;
  } mine{this, &all};
  auto const keep_row = [](void* to, record_row const& row) noexcept {
    auto& m = *static_cast<reading*>(to);
    return m.core->stage(*m.to, row);
  };
  error why = read_record(bytes, record_types, {&mine, keep_row});
  if (why.code == errc::ok) {
    commit_request<P> c;
    c.accesses = &all;
    c.epoch = epoch;  // nothing is newer
    why = accept(c);
  }
  if (why.code == errc::ok) {
    take_effect();
    disclaim();
    add(commits, 1);
    publish_epoch();
  }
  for (auto& each : all) {
    if (each.written != nullptr) { each.cell->of->give_back(from, each.written); }
  }
  return why;
}

/// Keeps a row of a record for a cell.
template <class P>
error store_core<P>::stage(accesses_type& to, record_row const& row) noexcept {
  std::uint32_t const slot = in->names.find(row.name);
  track_type* const t = slot != in->none ? tracks.find(slot) : nullptr;
  bool const known = t != nullptr && t->is_input && t->name == row.name && !t->is_gone() &&
                     t->cell == in->id_of(slot);
  if (!known) { return {errc::unknown_id, {}, 1}; }
  if (t->record == nullptr || t->record->column != row.type) {
    return {errc::layout_mismatch, {}, 0};
  }
  auto* const mine = to.at(t);
  if (mine == nullptr) { return {errc::out_of_memory, {}, 0}; }
  void* const room = mine->room(from);
  if (room == nullptr) { return {errc::out_of_memory, {}, 0}; }
  t->record->store(row.value, room);
  return {};
}

}  // namespace millrace::inline v0::propagate::detail
