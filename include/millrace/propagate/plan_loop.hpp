// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/cutoff.hpp>
#include <millrace/propagate/node.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

/// \file
/// What a plan has of nodes of one type that stand side by side, and the loop over them.

namespace millrace::inline v0::propagate::detail {

/// Nodes of one type at indices side by side. None depends on another; or they are a chain, in
/// which each depends on the one before it, and who depends on the last is told by its edges. A
/// node is near if its operands and targets stand as far from it as those of its neighbours from
/// them: nothing is kept of it but its value.
struct segment {
  static constexpr std::uint32_t most = 8;  ///< operands, and targets of near nodes

  plan_kind const* how = nullptr;
  std::uint32_t begin = 0;  ///< indices of nodes; the first is a multiple of 64
  std::uint32_t end = 0;
  std::byte* values = nullptr;  ///< of the first node, and those behind it
  std::uint32_t value_bytes = 0;
  void const* sources[most] = {};       ///< by operand: the values that it may be one of
  void const* near_sources[most] = {};  ///< by operand: its place for the first node
  std::uint32_t* operands = nullptr;    ///< their numbers in `sources`; null: all are near
  std::uint64_t* near_nodes = nullptr;  ///< a bit a node; null: all are near, or none is
  std::uint32_t steps[most] = {};       ///< from a near node's index to its targets'
  std::uint32_t step_count = 0;
  std::uint32_t stride = 0;             ///< targets of each node; some may come twice
  std::uint32_t* targets = nullptr;     ///< indices
  std::uint32_t* targets_at = nullptr;  ///< where a node's begin; null: each has `stride`
  std::uint32_t first_target = 0;       ///< the least of them
  std::uint32_t last_target = 0;
  std::byte* functions = nullptr;   ///< with their cutoffs, or where they are
  std::uint32_t function_mask = 0;  ///< 0: one for all
  bool is_chain = false;

  [[nodiscard]] std::uint32_t size() const noexcept { return end - begin; }
  /// Of 64 nodes, from the one at an offset on, those that are near.
  [[nodiscard]] std::uint64_t near(std::uint32_t first) const noexcept {
    if (near_nodes != nullptr) { return near_nodes[first / 64]; }
    return operands == nullptr ? ~std::uint64_t{0} : 0;
  }
};

/// Nodes of one word.
struct word_bits {
  std::uint32_t word;  ///< index / 64
  std::uint64_t bits;
};

/// Writes the numbers of the bits that are set, counted from `first`; how many. Eight at a time, of
/// which those behind the last mean nothing: a loop that ends where the bits do is foreseen
/// wrongly.
[[gnu::always_inline]] inline std::uint32_t list_bits(std::uint32_t first, std::uint64_t bits,
                                                      std::uint32_t* to) noexcept {
  static constexpr std::uint64_t top = std::uint64_t{1} << 63;
  std::uint32_t size = 0;
  while (bits != 0) {
    for (int n = 0; n < 8; ++n) {
      to[size] = first + static_cast<std::uint32_t>(std::countr_zero(bits | top));
      size += bits != 0 ? 1 : 0;
      bits &= bits - 1;
    }
  }
  return size;
}

/// Where a loop over nodes was left, for one has failed.
struct stop {
  error failure{};         ///< ok: none has
  std::uint64_t runs = 0;  ///< of near nodes, and of a chain's
  std::uint32_t at = 0;    ///< of the list; what was before has run
  std::uint32_t node = 0;  ///< its offset in the segment
  std::uint64_t left = 0;  ///< bits of its word that have not run
};

/// A type of node that plans can run.
struct plan_kind {
  std::uint32_t arity;
  void const* const* types;      ///< of the operands, as type_of
  std::uint32_t const* bytes;    ///< of an operand
  std::uint32_t function_bytes;  ///< of what `keep_function` writes
  bool alike;                    ///< functions of the same bytes are the same
  /// Runs near nodes, and writes the bits of those whose value has changed.
  void (*run_near)(segment const&, word_bits const* list, std::uint32_t count,
                   std::uint64_t* changed, stop&) noexcept;
  /// Runs nodes by their offsets, of which `ahead` more can be read behind the list. Writes those
  /// whose value has changed; how many.
  std::uint32_t (*run_listed)(segment const&, std::uint32_t const* list, std::uint32_t count,
                              std::uint32_t* changed, stop&) noexcept;
  /// Runs nodes of a chain, by their offsets, up to the first that has failed or not changed.
  /// Whether the last that ran has changed. Null for what makes no chains.
  bool (*run_chain)(segment const&, std::uint32_t first, std::uint32_t end, stop&) noexcept;
  void (*operands)(void const* body, void const** to) noexcept;
  void (*keep_function)(void* body, void* to) noexcept;

  static constexpr std::uint32_t ahead = 24;
  static constexpr std::uint32_t near_ahead = 64;   ///< several to a line
  static constexpr std::uint32_t most_words = 128;  ///< of near nodes
};

/// Of functions of fixed arguments.
template <class F, class C, class... Args>
struct plan_loop {
  using T = held<std::invoke_result_t<F&, Args const&...>>;
  static constexpr std::size_t arity = sizeof...(Args);
  static constexpr bool fits = placeable<T> && (placeable<Args> && ...) && arity <= segment::most;
  /// Whether one depends on another of its type and on nothing else.
  static constexpr bool is_link =
      arity == 1 && (std::is_same_v<T, Args> && ...) && std::copyable<T>;
  /// A function that no call changes is as good in a copy.
  static constexpr bool copied = std::is_trivially_copyable_v<F> &&
                                 std::is_copy_constructible_v<F> &&
                                 std::is_trivially_copyable_v<C> && sizeof(F) + sizeof(C) <= 64 &&
                                 std::is_invocable_v<F const&, Args const&...>;
  struct copy {
    F f;
    C same;
  };
  using kept = std::conditional_t<copied, copy, void*>;
  /// The same bits in its place are no other value.
  static constexpr bool stores_all =
      std::is_same_v<C, same_bits> &&
      (std::is_floating_point_v<T> || std::has_unique_object_representations_v<T>);

  static constexpr void const* types[] = {type_of<Args>...};
  static constexpr std::uint32_t bytes[] = {std::uint32_t{sizeof(Args)}...};

  /// Nodes are listed before the loop, and fetches go ahead by nodes: a processor drops those of a
  /// burst that its buffers cannot hold.
  template <class Body>
  static void run_near(segment const& s, word_bits const* list, std::uint32_t count,
                       std::uint64_t* changed, stop& at) noexcept {
    static constexpr std::uint32_t far = plan_kind::near_ahead;
    MILLRACE_ASSERT(count <= plan_kind::most_words);
    std::uint32_t nodes[plan_kind::most_words * 64 + far], size = 0;
    for (std::uint32_t k = 0; k < count; ++k) {
      size += list_bits(list[k].word * 64 - s.begin, list[k].bits, nodes + size);
    }
    std::fill_n(nodes + size, far, nodes[size - 1]);
    T* const values = reinterpret_cast<T*>(s.values);
    auto const from = near_sources(s, std::index_sequence_for<Args...>{});
    auto const fetch = [=](std::size_t one) {
      __builtin_prefetch(values + one, 1);
      std::apply([=](Args const*... each) { (__builtin_prefetch(each + one), ...); }, from);
    };
    for (std::uint32_t k = 0; k < far; ++k) { fetch(nodes[k]); }
    kept_functions<Body> const functions(s);
    std::uint64_t differing = 0;
    std::uint32_t last = nodes[0];
    for (std::uint32_t k = 0; k < size; ++k) {
      fetch(nodes[k + far]);
      std::uint32_t const one = nodes[k];
      bool const next = one / 64 != std::exchange(last, one) / 64;
      changed += next ? 1 : 0;
      differing = next ? 0 : differing;
      bool differs = false;
      error const why = step(functions[one], values[one], differs, [&](auto& f) -> decltype(auto) {
        return std::apply([&](Args const*... each) -> decltype(auto) { return f(each[one]...); },
                          from);
      });
      *changed = differing |= std::uint64_t{differs} << (one % 64);
      if (why.code == errc::ok) [[likely]] { continue; }
      at.failure = why;
      at.node = one;
      at.runs += k + 1;
      while (list[at.at].word != (s.begin + one) / 64) { ++at.at; }
      at.left = list[at.at].bits & ~std::uint64_t{1} << (one % 64);
      return;
    }
    at.runs += size;
  }

  template <class Body>
  static std::uint32_t run_listed(segment const& s, std::uint32_t const* list, std::uint32_t count,
                                  std::uint32_t* changed, stop& at) noexcept {
    return run_listed<Body>(s, list, count, changed, at, std::index_sequence_for<Args...>{});
  }
  template <class Body, std::size_t... K>
  [[gnu::always_inline]] static inline std::uint32_t run_listed(
      segment const& s, std::uint32_t const* list, std::uint32_t count, std::uint32_t* changed,
      stop& at, std::index_sequence<K...>) noexcept {
    static constexpr std::uint32_t far = plan_kind::ahead, close = far / 2;
    T* const values = reinterpret_cast<T*>(s.values);
    auto const from = std::make_tuple(static_cast<Args const*>(s.sources[K])...);
    std::uint32_t const* const operands = s.operands;
    kept_functions<Body> const functions(s);
    std::uint32_t differing = 0;
    for (std::uint32_t k = 0; k < count; ++k) {
      std::size_t const far_one = list[k + far], close_one = list[k + close], one = list[k];
      __builtin_prefetch(operands + far_one * arity);
      __builtin_prefetch(values + far_one, 1);
      if constexpr (!std::is_empty_v<F> || !copied) { functions.fetch(far_one); }
      (__builtin_prefetch(std::get<K>(from) + operands[close_one * arity + K]), ...);
      bool differs = false;
      error const why = step(functions[one], values[one], differs, [&](auto& f) -> decltype(auto) {
        return f(std::get<K>(from)[operands[one * arity + K]]...);
      });
      changed[differing] = list[k];
      differing += differs ? 1u : 0u;
      if (why.code == errc::ok) [[likely]] { continue; }
      at.failure = why;
      at.at = k;
      at.node = list[k];
      break;
    }
    return differing;
  }

  /// What a node gives is the next one's argument in a register, not by way of memory.
  template <class Body>
    requires is_link
  static bool run_chain(segment const& s, std::uint32_t first, std::uint32_t end,
                        stop& at) noexcept {
    T* const values = reinterpret_cast<T*>(s.values);
    T before = first == 0 ? *static_cast<T const*>(s.near_sources[0]) : values[first - 1];
    kept_functions<Body> const functions(s);
    bool differs = true;
    std::uint32_t k = first;
    while (k != end && differs) {
      T value = values[k];
      differs = false;
      at.failure = step(functions[k], value, differs,
                        [&](auto& f) -> decltype(auto) { return f(std::as_const(before)); });
      values[k++] = before = value;
    }
    at.runs += k - first;
    return differs;
  }

  template <class Body>
  static void operands(void const* body, void const** to) noexcept {
    std::apply([to](Args const*... each) mutable { ((*to++ = each), ...); },
               static_cast<Body const*>(body)->from);
  }
  template <class Body>
  static void keep_function(void* body, void* to) noexcept {
    auto* const mine = static_cast<Body*>(body);
    if constexpr (copied) {
      std::memset(to, 0, sizeof(copy));
      ::new (to) copy{mine->f, mine->same};
    } else {
      std::memcpy(to, &mine, sizeof(mine));
    }
  }

 private:
  template <std::size_t... K>
  [[nodiscard]] static auto near_sources(segment const& s, std::index_sequence<K...>) noexcept {
    return std::make_tuple(static_cast<Args const*>(s.near_sources[K])...);
  }
  /// A segment's functions, by node. Where they are is in registers: what a loop writes may be what
  /// a segment is.
  template <class Body>
  class kept_functions {
   public:
    explicit kept_functions(segment const& s) noexcept
        : kept_{reinterpret_cast<kept const*>(s.functions)}, mask_{s.function_mask} {}
    void fetch(std::size_t node) const noexcept { __builtin_prefetch(kept_ + (node & mask_)); }
    [[nodiscard]] auto& operator[](std::size_t node) const noexcept {
      if constexpr (copied) {
        return kept_[node & mask_];
      } else {
        return *static_cast<Body*>(kept_[node & mask_]);
      }
    }

   private:
    kept const* kept_;
    std::size_t mask_;
  };
  /// Calls a node's function through `call`, and keeps what it gives.
  template <class Function, class Call>
  [[nodiscard, gnu::always_inline]] static inline error step(Function& function, T& value,
                                                             bool& differs,
                                                             Call const& call) noexcept {
    using R = decltype(call(function.f));
    if constexpr (std::is_nothrow_invocable_v<decltype((function.f)), Args const&...> &&
                  !is_result<std::remove_cvref_t<R>>) {
      differs = store(value, call(function.f), function.same);
      return {};
    } else {
      try {
        if constexpr (is_result<std::remove_cvref_t<R>>) {
          auto&& got = call(function.f);
          if (!got) { return got.error(); }
          differs = store(value, *got, function.same);
        } else {
          differs = store(value, call(function.f), function.same);
        }
        return {};
      } catch (...) { return {errc::function_failed, {}, 0}; }
    }
  }
  [[nodiscard, gnu::always_inline]] static inline bool store(T& to, T const& now,
                                                             C const& same) noexcept {
    bool const differs = !same(std::as_const(to), now);
    if constexpr (stores_all) {
      to = now;
    } else {
      if (differs) { to = now; }
    }
    return differs;
  }
};

template <class Body>
[[nodiscard]] constexpr auto chain_loop() noexcept -> decltype(plan_kind::run_chain) {
  if constexpr (Body::loop::is_link) {
    return &Body::loop::template run_chain<Body>;
  } else {
    return nullptr;
  }
}
template <class Body>
inline constexpr plan_kind plan_kind_of{
    .arity = Body::loop::arity,
    .types = Body::loop::types,
    .bytes = Body::loop::bytes,
    .function_bytes = Body::loop::copied ? sizeof(typename Body::loop::copy) : sizeof(Body*),
    .alike = Body::loop::copied,
    .run_near = &Body::loop::template run_near<Body>,
    .run_listed = &Body::loop::template run_listed<Body>,
    .run_chain = chain_loop<Body>(),
    .operands = &Body::loop::template operands<Body>,
    .keep_function = &Body::loop::template keep_function<Body>};

/// How plans run nodes with this body; null: they do not.
template <class Body>
[[nodiscard]] constexpr plan_kind const* plan_of() noexcept {
  if constexpr (requires { requires Body::loop::fits; }) {
    return &plan_kind_of<Body>;
  } else {
    return nullptr;
  }
}

}  // namespace millrace::inline v0::propagate::detail
