// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>

#include <cstdint>

namespace millrace::inline v0::propagate::detail {

template <class P>
class engine;

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

/// What nodes of one type have in common.
template <class P>
struct kind {
  role is;
  /// Runs a node that has been taken from the pending ones, and those of this kind that follow it.
  /// Returns the first that is of another kind; it has been taken as well.
  std::uint32_t (*sweep)(engine<P>&, std::uint32_t) noexcept = nullptr;
  /// Runs a node; true when its value or its failure has changed. May leave by an `unwound`.
  bool (*run)(engine<P>&, std::uint32_t) = nullptr;
  void (*destroy)(engine<P>&, void* body) noexcept = nullptr;
  void const* (*value)(void const* body) noexcept = nullptr;
  void const* type = nullptr;  ///< type_of<T> of the value; null for observers
  /// A dependency's value is somewhere else now. Null for what does not know where values are.
  void (*repoint)(void* body, void const* from, void const* to) noexcept = nullptr;
  /// Keeps a value for a later run; whether one was kept already. Null but for inputs.
  bool (*stage)(void* body, void* value) noexcept = nullptr;
  void (*unstage)(void* body) noexcept = nullptr;
  /// Takes a value; true when that is a change. Null but for inputs.
  bool (*assign)(engine<P>&, std::uint32_t, void* value) noexcept = nullptr;
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

inline constexpr std::uint32_t unsettled = 1;   ///< the value may be out of date
inline constexpr std::uint32_t must_run = 2;    ///< whatever the dependencies say: has no whole run
inline constexpr std::uint32_t linked = 4;      ///< its dependencies know that it needs them
inline constexpr std::uint32_t failed = 8;      ///< the value is a failure
inline constexpr std::uint32_t is_fired = 16;   ///< an observer that is to be told in this pass
inline constexpr std::uint32_t passed_on = 32;  ///< its dependencies count it, or will not
inline constexpr std::uint32_t seen = 64;       ///< by a walk
inline constexpr std::uint32_t valueless = 128;  ///< no run has given a value yet
inline constexpr std::uint32_t retried = 256;    ///< fails for what no dependency tells the end of
inline constexpr std::uint32_t relied_on = 512;  ///< a store relies on it, and on its name

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
  std::uint32_t flags : 10 = 0;
  std::uint32_t read_at : 22 = 0;  ///< where its last reader may have it among its sources

  /// Whether one of these flags is set.
  [[nodiscard]] bool has(std::uint32_t any) const noexcept { return (flags & any) != 0; }
  void set(std::uint32_t all) noexcept { flags |= all & 0x3FF; }
  void clear(std::uint32_t all) noexcept { flags &= ~all & 0x3FF; }
  void set_read_at(std::uint32_t k) noexcept { read_at = k & 0x3F'FFFF; }
};

}  // namespace millrace::inline v0::propagate::detail
