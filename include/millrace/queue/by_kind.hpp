// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/message.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue {

namespace detail {

/// A functor that takes what the consumer gives, or all of it but what comes after the reply.
template <class F, class Given, class... More>
inline constexpr bool takes_given = false;
template <class F, class... Given, class... More>
inline constexpr bool takes_given<F, void(Given...), More...> =
    std::is_nothrow_invocable_r_v<status, F&, Given..., More...> ||
    std::is_nothrow_invocable_r_v<status, F&, Given...>;

/// Members one after the other; a kernel sees them where the host put them.
template <class First, class... Rest>
struct functor_list {
  First first;
  functor_list<Rest...> rest;
};
template <class Last>
struct functor_list<Last> {
  Last first;
};

}  // namespace detail

/// Several functors as one processor: a message of kind i goes to the i-th. A message of another
/// kind ends as `status::unknown_kind`, and no functor sees it. All of them do messages alone, or
/// all of them in groups; each keeps members of its own, in each worker.
/// @cost one comparison a functor before the right one; nothing of the consumer changes
template <class... Functors>
class by_kind {
  static_assert(0 < sizeof...(Functors) && sizeof...(Functors) <= 256,
                "by_kind: a kind is one byte; name 1 to 256 functors");

 public:
  by_kind() = default;
  MILLRACE_HD constexpr by_kind(Functors... functors) noexcept : functors_(list(functors...)) {}

  /// The functor of kind I.
  template <std::size_t I>
  [[nodiscard]] MILLRACE_HD constexpr auto& get() noexcept {
    static_assert(I < sizeof...(Functors), "by_kind: no functor has this kind");
    return at<I>(functors_);
  }

  template <class Message, class Reply, class... More>
    requires(detail::takes_given<Functors, void(message_view<Message>, reply_writer<Reply>&),
                                 More&...> &&
             ...)
  MILLRACE_HD status operator()(message_view<Message> view, reply_writer<Reply>& reply,
                                More&... more) noexcept {
    return call(
        functors_, view.kind(),
        [&](auto& functor, auto&... rest) noexcept -> decltype(functor(view, reply, rest...)) {
          return functor(view, reply, rest...);
        },
        more...);
  }
  template <class Group, class Message, class Reply, class... More>
    requires(detail::takes_given<Functors, void(Group, message_view<Message>, reply_writer<Reply>&),
                                 More&...> &&
             ...)
  MILLRACE_HD status operator()(Group group, message_view<Message> view, reply_writer<Reply>& reply,
                                More&... more) noexcept {
    return call(
        functors_, view.kind(),
        [&](auto& functor,
            auto&... rest) noexcept -> decltype(functor(group, view, reply, rest...)) {
          return functor(group, view, reply, rest...);
        },
        more...);
  }

 private:
  template <class First, class... Rest>
  [[nodiscard]] static MILLRACE_HD constexpr detail::functor_list<First, Rest...> list(
      First first, Rest... rest) noexcept {
    if constexpr (sizeof...(Rest) == 0) {
      return {first};
    } else {
      return {first, list(rest...)};
    }
  }
  template <std::size_t I, class List>
  [[nodiscard]] static MILLRACE_HD constexpr auto& at(List& functors) noexcept {
    if constexpr (I == 0) {
      return functors.first;
    } else {
      return at<I - 1>(functors.rest);
    }
  }

  template <class First, class... Rest, class Use, class... More>
  [[nodiscard]] static MILLRACE_HD status call(detail::functor_list<First, Rest...>& functors,
                                               std::size_t kind, Use use, More&... more) noexcept {
    if (kind == 0) {
      if constexpr (std::is_invocable_v<Use&, First&, More&...>) {
        return use(functors.first, more...);
      } else {
        return use(functors.first);
      }
    }
    if constexpr (sizeof...(Rest) != 0) {
      return call(functors.rest, kind - 1, use, more...);
    } else {
      return status::unknown_kind;
    }
  }

  detail::functor_list<Functors...> functors_;
};

}  // namespace millrace::inline v0::queue
