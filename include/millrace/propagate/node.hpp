// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace millrace::inline v0::propagate::detail {

template <class P>
class engine;
struct plan_kind;

/// One end of a dependency: the node at the other end, and where that has its end of it.
struct edge {
  std::uint32_t node;
  std::uint32_t at;
};

/// The dependencies of a node in one direction. A block of edges follows it in memory.
struct edge_block {
  std::uint32_t size;
  std::uint32_t capacity;

  [[nodiscard]] edge* edges() noexcept { return reinterpret_cast<edge*>(this + 1); }
};
static_assert(sizeof(edge_block) == sizeof(edge) && alignof(edge_block) == alignof(edge));

/// A node that has been taken from the pending ones, and the others of its 64 that pend still: a
/// pass keeps both in registers.
struct turn {
  std::uint64_t bits;
  std::uint64_t index;  ///< as wide as the register
};

/// What nodes of one type have in common.
template <class P>
struct kind {
  role is;
  /// A node has its turn; and so do those of this kind that follow it. The next turn.
  turn (*sweep)(engine<P>&, turn) noexcept = nullptr;
  /// Runs a node; true when its value or its failure has changed. May leave by an `unwound`.
  bool (*run)(engine<P>&, std::uint32_t) = nullptr;
  void (*destroy)(engine<P>&, void* body) noexcept = nullptr;
  void const* type = nullptr;  ///< type_of<T> of the value; null for observers
  /// A dependency's value is somewhere else now. Null for what does not know where values are.
  void (*repoint)(void* body, void const* from, void const* to) noexcept = nullptr;
  /// Keeps a value for a later run; whether one was kept already. Null but for inputs.
  bool (*stage)(void* body, void* value) noexcept = nullptr;
  void (*unstage)(void* body) noexcept = nullptr;
  /// Takes a value; true when that is a change. Null but for inputs.
  bool (*assign)(engine<P>&, std::uint32_t, void* value) noexcept = nullptr;
  plan_kind const* plan = nullptr;  ///< null for what no plan runs
  std::uint32_t value_bytes = 0;    ///< of a value that may stand anywhere
  bool keeps = false;               ///< needs its dependencies, and does nothing with them
};

template <class T>
inline constexpr char type_mark = 0;
/// Tells types apart at run time.
template <class T>
inline constexpr void const* type_of = &type_mark<T>;

/// Begins what a node keeps for its kind.
struct body_head {
  error failure{};  ///< what the value is instead; code ok: there is a value
};
/// A value that may stand apart from what computes it, among others of its type.
template <class T>
concept placeable = std::is_trivially_copyable_v<T> && sizeof(T) <= 64 && alignof(T) <= 64;
/// Bytes of such a value; 0 of any other.
template <class T>
inline constexpr std::uint32_t placed_bytes = placeable<T> ? sizeof(T) : 0;

/// Begins what a cell keeps: its value is found without a look at its kind.
template <class T>
struct cell_head : body_head {
  T own{};

  [[nodiscard]] T& value() noexcept { return own; }
};
struct placed_head : body_head {
  void* where = nullptr;  ///< the value is
};
template <placeable T>
struct cell_head<T> : placed_head {
  T own{};

  cell_head() noexcept(std::is_nothrow_default_constructible_v<T>) { where = &own; }
  cell_head(cell_head const&) = delete;
  cell_head& operator=(cell_head const&) = delete;
  [[nodiscard]] T& value() noexcept { return *static_cast<T*>(where); }
};
/// The value of a cell that holds a T.
template <class T>
[[nodiscard]] T& value_in(body_head* body) noexcept {
  return static_cast<cell_head<T>*>(body)->value();
}
/// Moves a value of so many bytes to another address.
inline void place(body_head* body, void* to, std::uint32_t bytes) noexcept {
  auto* const mine = static_cast<placed_head*>(body);
  std::memcpy(to, mine->where, bytes);
  mine->where = to;
}

inline constexpr std::uint32_t unsettled = 1;   ///< the value may be out of date
inline constexpr std::uint32_t must_run = 2;    ///< whatever the dependencies say: has no whole run
inline constexpr std::uint32_t linked = 4;      ///< its dependencies know that it needs them
inline constexpr std::uint32_t failed = 8;      ///< the value is a failure
inline constexpr std::uint32_t is_fired = 16;   ///< an observer that is to be told in this pass
inline constexpr std::uint32_t passed_on = 32;  ///< its dependencies count it, or will not
inline constexpr std::uint32_t seen = 64;       ///< by a walk
inline constexpr std::uint32_t valueless = 128;   ///< no run has given a value yet
inline constexpr std::uint32_t retried = 256;     ///< fails for what no dependency tells the end of
inline constexpr std::uint32_t planned = 512;     ///< a plan runs it
inline constexpr std::uint32_t relied_on = 1024;  ///< a store relies on it, and on its name

/// A node beside its value. Its index is its place in a topological order.
template <class P>
struct node {
  kind<P> const* what = nullptr;  ///< null: there is no node at this index
  body_head* body = nullptr;
  edge_block* targets = nullptr;  ///< who depends on it; the first `live` are needed themselves
  edge_block* sources = nullptr;  ///< what it depends on
  std::uint64_t changed_at = 0;   ///< the pass in which the value changed
  std::uint64_t ran_at = 0;       ///< the pass in which it was last right, if not needed since
  std::uint32_t live = 0;
  std::uint32_t eager = 0;  ///< targets that will need the value whatever others come out as
  std::uint32_t slot = 0;
  std::uint32_t flags = 0;  ///< eleven, and above them read_at

  /// Whether one of these flags is set.
  [[nodiscard]] bool has(std::uint32_t any) const noexcept { return (flags & any) != 0; }
  void set(std::uint32_t all) noexcept { flags |= all; }
  void clear(std::uint32_t all) noexcept { flags &= ~all; }
  /// Where its last reader may have it among its sources.
  [[nodiscard]] std::uint32_t read_at() const noexcept { return flags >> 11; }
  void set_read_at(std::uint32_t k) noexcept { flags = (flags & 0x7FF) | k << 11; }
};

}  // namespace millrace::inline v0::propagate::detail
