// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/queue/kernel_args.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue {

/// What a functor that is loaded at run time and the consumer that runs it must agree on. The
/// numbers are frozen: `errc::layout_mismatch` carries the first that differs in `native`.
enum class abi_field : std::uint32_t {
  magic = 1,    ///< a description at all
  version = 2,  ///< of the description: `functor_abi::current`
  layout = 3,   ///< `layout_version`
  message_bytes = 4,
  message_alignment = 5,
  reply_bytes = 6,
  reply_alignment = 7,
  state_bytes = 8,
  state_alignment = 9,
  slot_stride = 10,
  payload_offset = 11,
  record_stride = 12,
  completions = 13,
  claims = 14,
  ingress = 15,
  effects = 16,
  processing = 17,
  threads_per_block = 18,
  publish_batch = 19,
  snapshots = 20,  ///< whether any are taken
  cancellable = 21,
  follow_ups = 22,
  scope = 23,     ///< the thread scope of `access`, plus 1; 0 where it names none
  contract = 24,  ///< what the policy says of its messages itself, see `functor_abi_of`
  functor_bytes = 25,
  functor_alignment = 26,
  probe_bytes = 27,
  probe_alignment = 28,
  drain_bytes = 29,      ///< `drain_args`
  arguments_bytes = 30,  ///< `kernel_args`
  control_blocks = 31,   ///< a number made of the sizes of all control blocks
  gang = 32,
};

/// The words for a field; never null.
[[nodiscard]] constexpr char const* describe(abi_field field) noexcept {
  switch (field) {
    case abi_field::magic: return "no description of a functor";
    case abi_field::version: return "version of the description";
    case abi_field::layout: return "version of the control blocks";
    case abi_field::message_bytes: return "bytes of a message";
    case abi_field::message_alignment: return "alignment of a message";
    case abi_field::reply_bytes: return "bytes of a reply";
    case abi_field::reply_alignment: return "alignment of a reply";
    case abi_field::state_bytes: return "bytes of a worker's state";
    case abi_field::state_alignment: return "alignment of a worker's state";
    case abi_field::slot_stride: return "stride of the slots";
    case abi_field::payload_offset: return "offset of the payload in a slot";
    case abi_field::record_stride: return "stride of the records";
    case abi_field::completions: return "completions";
    case abi_field::claims: return "claims";
    case abi_field::ingress: return "ingress";
    case abi_field::effects: return "effects";
    case abi_field::processing: return "width of processing";
    case abi_field::threads_per_block: return "threads of a block";
    case abi_field::gang: return "threads that move together";
    case abi_field::publish_batch: return "publish_batch";
    case abi_field::snapshots: return "whether snapshots are taken";
    case abi_field::cancellable: return "whether messages can be cancelled";
    case abi_field::follow_ups: return "follow_ups";
    case abi_field::scope: return "thread scope of the lanes";
    case abi_field::contract: return "contract of the policies";
    case abi_field::functor_bytes: return "bytes of the functor";
    case abi_field::functor_alignment: return "alignment of the functor";
    case abi_field::probe_bytes: return "bytes of the probe";
    case abi_field::probe_alignment: return "alignment of the probe";
    case abi_field::drain_bytes: return "bytes of a worker's arguments";
    case abi_field::arguments_bytes: return "bytes of the kernel's arguments";
    case abi_field::control_blocks: return "sizes of the control blocks";
  }
  return "unknown field";
}

/// The description that a module exports beside its functor's kernel, one word a field. The first
/// two words are where they are in every version.
struct functor_abi {
  static constexpr std::uint32_t magic = 0x6d6c7266u;
  static constexpr std::uint32_t current = 1;
  static constexpr std::uint32_t fields = 32;

  std::uint32_t words[fields] = {};

  [[nodiscard]] MILLRACE_HD constexpr std::uint32_t& operator[](abi_field field) noexcept {
    return words[static_cast<std::uint32_t>(field) - 1];
  }
  [[nodiscard]] MILLRACE_HD constexpr std::uint32_t operator[](abi_field field) const noexcept {
    return words[static_cast<std::uint32_t>(field) - 1];
  }
};
static_assert(std::is_trivially_copyable_v<functor_abi>);

/// Whether a functor described by `theirs` can run where `ours` is expected.
/// @error errc::layout_mismatch, native the number of the first `abi_field` that differs
/// @thread any   @cost a comparison a field
[[nodiscard]] constexpr result<void> compare(functor_abi const& ours,
                                             functor_abi const& theirs) noexcept {
  for (std::uint32_t i = 0; i < functor_abi::fields; ++i) {
    if (ours.words[i] != theirs.words[i]) {
      return core::fail(errc::layout_mismatch, static_cast<std::int32_t>(i + 1));
    }
  }
  return {};
}

namespace detail {

/// FNV-1a over whole words.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t mix(std::uint32_t sum,
                                                      std::size_t number) noexcept {
  return (sum ^ static_cast<std::uint32_t>(number)) * 16777619u;
}

template <class P>
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t contract_of() noexcept {
  if constexpr (requires { P::contract; }) {
    static_assert(std::unsigned_integral<std::remove_cv_t<decltype(P::contract)>> &&
                      sizeof(P::contract) <= sizeof(std::uint32_t),
                  "millrace: a policy's contract is an unsigned number of up to 32 bits");
    return P::contract;
  } else {
    return 0;
  }
}

template <class A>
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t scope_of() noexcept {
  if constexpr (requires { A::scope; }) {
    return static_cast<std::uint32_t>(A::scope) + 1;
  } else {
    return 0;
  }
}

template <consumer_policy P>
[[nodiscard]] MILLRACE_HD constexpr std::size_t message_bytes() noexcept {
  if constexpr (in_slab<P>) {
    return P::message::capacity;
  } else {
    return sizeof(typename P::message);
  }
}

}  // namespace detail

/// The description of P. What sizes cannot tell apart, a policy tells by a number of its own:
/// `static constexpr std::uint32_t contract = 3;` in both policies, raised whenever a message or a
/// reply comes to mean something else; 0 where a policy says nothing.
template <consumer_policy P>
[[nodiscard]] MILLRACE_HD constexpr functor_abi functor_abi_of() noexcept {
  functor_abi out;
  auto const set = [&](abi_field field, auto value) {
    out[field] = static_cast<std::uint32_t>(value);
  };
  set(abi_field::magic, functor_abi::magic);
  set(abi_field::version, functor_abi::current);
  set(abi_field::layout, layout_version);
  set(abi_field::message_bytes, detail::message_bytes<P>());
  set(abi_field::message_alignment, alignof(typename P::message));
  set(abi_field::reply_bytes, sizeof(typename P::reply));
  set(abi_field::reply_alignment, alignof(typename P::reply));
  set(abi_field::state_bytes, sizeof(typename P::state));
  set(abi_field::state_alignment, alignof(typename P::state));
  set(abi_field::slot_stride, P::slot::stride);
  set(abi_field::payload_offset, P::slot::payload_offset);
  set(abi_field::record_stride, lane_ref<P>::record::stride);
  set(abi_field::completions, P::completions);
  set(abi_field::claims, P::claims);
  set(abi_field::ingress, P::ingress);
  set(abi_field::effects, P::effects);
  set(abi_field::processing, P::processing);
  set(abi_field::threads_per_block, P::threads_per_block);
  set(abi_field::gang, P::gang);
  set(abi_field::publish_batch, P::publish_batch);
  set(abi_field::snapshots, detail::retains<P>);
  set(abi_field::cancellable, P::cancellable);
  set(abi_field::follow_ups, P::follow_ups);
  set(abi_field::scope, detail::scope_of<typename P::access>());
  set(abi_field::contract, detail::contract_of<P>());
  set(abi_field::functor_bytes, sizeof(typename P::processor));
  set(abi_field::functor_alignment, alignof(typename P::processor));
  set(abi_field::probe_bytes, sizeof(typename P::probe));
  set(abi_field::probe_alignment, alignof(typename P::probe));
  set(abi_field::drain_bytes, sizeof(drain_args<P, worker_access<P>>));
  set(abi_field::arguments_bytes, sizeof(kernel_args<P>));
  std::uint32_t blocks = 2166136261u;
  for (std::size_t const bytes :
       {sizeof(slot_header), sizeof(record_header), sizeof(lane_control), sizeof(crew_control),
        sizeof(worker_control), sizeof(lane_cursor), sizeof(lane_ref<P>), sizeof(crew_ref<P>),
        sizeof(snapshots_ref<P>), sizeof(worker_state<typename P::state>),
        detail::follow_layout_of<P>::bytes}) {
    blocks = detail::mix(blocks, bytes);
  }
  set(abi_field::control_blocks, blocks);
  return out;
}

/// A functor as its bytes alone: what a consumer knows of one whose code it loads. Parameters has
/// the size and the alignment of the functor that the module was built with, and its bytes are that
/// functor's. It does nothing itself.
template <class Parameters>
struct functor_bytes {
  static_assert(std::is_trivially_copyable_v<Parameters>,
                "millrace: a functor's parameters are copied byte by byte into its kernel's "
                "arguments; make them trivially copyable");

  Parameters parameters{};

  template <class... Arguments>
  [[nodiscard]] MILLRACE_HD status operator()(Arguments&&...) const noexcept {
    return status::unprocessed;
  }
};

/// P with the bytes of another functor.
template <consumer_policy P, class Parameters>
struct with_functor : P {
  using processor = functor_bytes<Parameters>;
};

}  // namespace millrace::inline v0::queue
