// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/clock.hpp>
#include <millrace/core/parking.hpp>
#include <millrace/core/probe.hpp>
#include <millrace/queue/backoff.hpp>
#include <millrace/queue/follow_up.hpp>
#include <millrace/queue/group.hpp>
#include <millrace/queue/message.hpp>
#include <millrace/queue/residency.hpp>
#include <millrace/queue/slot.hpp>

#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue {

/// What the caller gets back. `records`: one completion for each message. `none`: nothing but the
/// consumer's counters, and no record traffic where a lane has one worker.
enum class completion_mode : std::uint8_t { records, none };

/// Who takes a lane's messages. `shared`: any worker takes any message, and they may finish out of
/// order. `pinned`: lane l belongs to worker l % workers, which does its messages one by one in
/// order, and no worker executes a read-modify-write.
enum class claim_mode : std::uint8_t { shared, pinned };

/// In which order messages are taken. `per_producer`: every producer has a lane, and its messages
/// are in order among themselves; producers share no word. `total`: all producers share one ring
/// and draw their messages' numbers from one sequence, in which workers take them. Host threads
/// only: a number is drawn by a read-modify-write, which the bus to a device does not have.
enum class order_mode : std::uint8_t { per_producer, total };

/// How messages come to the workers of a device. `pull`: a warp a lane carries them in batches into
/// the workers' memory, where any worker finds them; most messages a second. `direct`: the lane's
/// worker reads them where the producer wrote them, across the bus; least time for one message.
/// `dma`: a host thread has the device's copy engine carry whatever gathered while the last copy
/// was under way; no multiprocessor carries, and large batches have the whole link.
enum class ingress_mode : std::uint8_t { pull, direct, dma };

/// What whoever has a completion may look at. `anywhere`: all that the functor wrote. `reply`: the
/// reply, and nothing that the functor wrote elsewhere; on a device a completion with a reply of up
/// to 8 bytes is then one store, without a release that waits for the bus.
enum class effect_mode : std::uint8_t { anywhere, reply };

/// A functor without memory.
struct no_state {};

/// What a submit does when its lane has no room. `fail`: it says so. `block`: it waits, until a
/// deadline. `drop_newest`: it gives up the new messages, and counts them. `drop_oldest`: it gives
/// up the oldest messages that no worker has taken yet, each of which completes as
/// `status::dropped`, and counts them; on host threads alone.
enum class overflow_mode : std::uint8_t { fail, block, drop_newest, drop_oldest };

/// What becomes of messages on a device that is lost. `give_up`: waiting for them ends as
/// errc::device_lost, and after a `stop` they complete as `status::unprocessed`, each under its
/// number. `fall_back`: host threads of this process go on where the device was, from the last
/// snapshot if there are any, and the consumer is `degraded`; the functor must be able to run
/// there. What the device had begun is done again, so effects outside the queue's state may come
/// twice.
enum class loss_mode : std::uint8_t { give_up, fall_back };

/// How many threads do one message on a device. Host threads are groups of one.
enum class width : std::uint8_t { thread, warp, block };

/// A functor that does one message: `(view, reply)` for one thread, `(group, view, reply)` for all
/// members of a group together. It returns the status of the message's completion. Under a policy
/// with state its last argument is the worker's: `(..., state&)`.
template <class F, class Message, class Reply, class... State>
concept thread_processor = std::is_nothrow_invocable_r_v<status, F&, message_view<Message>,
                                                         reply_writer<Reply>&, State&...>;
template <class F, class Message, class Reply, class... State>
concept group_processor =
    std::is_nothrow_invocable_r_v<status, F&, host_group, message_view<Message>,
                                  reply_writer<Reply>&, State&...>;
template <class F, class Message, class Reply, width Width, class... State>
concept processor_for = (Width == width::thread && thread_processor<F, Message, Reply, State...>) ||
                        (Width != width::thread && group_processor<F, Message, Reply, State...>);
/// The same with what its policy adds: state, and behind it a place for follow-up messages.
template <class F, class Message, class Reply, width Width, class State, bool Follows = false>
concept stateful_processor =
    (std::is_empty_v<State> && !Follows && processor_for<F, Message, Reply, Width>) ||
    (!std::is_empty_v<State> && !Follows && processor_for<F, Message, Reply, Width, State>) ||
    (std::is_empty_v<State> && Follows &&
     processor_for<F, Message, Reply, Width, follow_up<Message>>) ||
    (!std::is_empty_v<State> && Follows &&
     processor_for<F, Message, Reply, Width, State, follow_up<Message>>);

/// One struct is the program: it generates the producer's handle, the host threads and the
/// persistent kernel. Derive from `default_consumer`, override what differs, name the result.
///
/// Requires: `message` and `reply` are trivially copyable, and a reply lies in its record; `slot`
/// lays out `message`; `processor` is trivially copyable, starts from nothing, and does (message,
/// reply) without throwing, alone or in a group as `processing` says; `backoff`, `probe`, `access`,
/// `clock` and `parking` model their concepts; without completions `reply` is `no_reply`; direct
/// ingress has pinned claims, since no read-modify-write crosses the bus; `publish_batch` > 0;
/// `state` is trivially copyable and starts from nothing, belongs to one worker, hence pinned
/// claims, and snapshots of it need completions, from which lost work is done again. Under total
/// order `publish_batch` is 1, since a number held back would hold up all the later ones, ingress
/// is pull, and no snapshots are taken, which a producer's lane alone can answer for; nor do
/// messages lie in an arena, which has one owner. Nor do they in a lane that retains messages for
/// snapshots, which could keep all its bytes and wait for more messages. Who drops the oldest
/// messages shares the claims with the workers and has a lane of his own, in whose slots they lie;
/// who blocks has no completions, since the room behind those comes from the caller, who would be
/// waiting for himself. Messages that can be cancelled lie in a producer's lane, and those that
/// expire in a `timed_slot`. A functor that leaves follow-ups has a place for them as its last
/// argument; they lie in slots of the worker's, not in an arena, and work that is done again from
/// snapshots leaves none, since nothing would say which were done. Who falls back from a lost
/// device has pinned claims and leaves no follow-ups, since only the device would know them. Named
/// producers have lanes of their own with pinned claims, where one worker can say at which message
/// it stopped; and hold nothing back, which would be neither accepted nor fenced.
template <class P>
concept consumer_policy = requires {
  requires message_type<typename P::message>;
  requires message_type<typename P::reply>;
  requires !detail::is_slab_bytes<typename P::reply>;
  requires slot_layout<typename P::slot>;
  requires std::is_same_v<typename P::slot::message, typename P::message>;
  requires std::is_trivially_copyable_v<typename P::processor>;
  requires std::default_initializable<typename P::processor>;
  requires std::default_initializable<typename P::reply>;
  requires std::is_trivially_copyable_v<typename P::state>;
  requires std::default_initializable<typename P::state>;
  requires stateful_processor<typename P::processor, typename P::message, typename P::reply,
                              P::processing, typename P::state, (P::follow_ups > 0)>;
  requires std::is_empty_v<typename P::state> || P::claims == claim_mode::pinned;
  requires P::snapshot_every == 0 || !std::is_empty_v<typename P::state>;
  requires P::snapshot_every == 0 || P::completions == completion_mode::records;
  requires P::snapshot_every == 0 || P::follow_ups == 0;
  requires backoff_policy<typename P::backoff>;
  requires core::probe<typename P::probe>;
  requires core::access_policy<typename P::access>;
  requires core::parking_policy<typename P::parking>;
  requires core::clock<typename P::clock>;
  requires std::is_same_v<decltype(P::completions), completion_mode const>;
  requires std::is_same_v<decltype(P::claims), claim_mode const>;
  requires std::is_same_v<decltype(P::order), order_mode const>;
  requires std::is_same_v<decltype(P::ingress), ingress_mode const>;
  requires std::is_same_v<decltype(P::effects), effect_mode const>;
  requires std::is_same_v<decltype(P::processing), queue::width const>;
  requires P::gang == width::warp || P::gang == width::block;
  requires P::completions == completion_mode::records || std::is_empty_v<typename P::reply>;
  requires P::ingress != ingress_mode::direct || P::claims == claim_mode::pinned;
  requires std::is_same_v<decltype(P::overflow), overflow_mode const>;
  requires P::overflow != overflow_mode::block || P::completions == completion_mode::none;
  requires P::overflow != overflow_mode::drop_oldest || P::claims == claim_mode::shared;
  requires P::overflow != overflow_mode::drop_oldest || P::order == order_mode::per_producer;
  requires P::overflow != overflow_mode::drop_oldest || !detail::is_slab_bytes<typename P::message>;
  requires std::is_same_v<decltype(P::cancellable), bool const>;
  requires !P::cancellable || P::order == order_mode::per_producer;
  requires std::is_same_v<decltype(P::expires), bool const>;
  requires std::is_same_v<decltype(P::follow_ups), std::uint32_t const>;
  requires P::follow_ups <= 1u << 20;
  requires P::follow_ups == 0 || !detail::is_slab_bytes<typename P::message>;
  requires !P::expires || timed_layout<typename P::slot>;
  requires std::is_same_v<decltype(P::on_loss), loss_mode const>;
  requires P::on_loss == loss_mode::give_up || P::claims == claim_mode::pinned;
  requires P::on_loss == loss_mode::give_up || P::follow_ups == 0;
  requires std::is_same_v<decltype(P::named_producers), bool const>;
  requires !P::named_producers || P::order == order_mode::per_producer;
  requires !P::named_producers || P::claims == claim_mode::pinned;
  requires !P::named_producers || P::publish_batch == 1;
  requires P::publish_batch > 0;
  requires P::order == order_mode::per_producer || P::publish_batch == 1;
  requires P::order == order_mode::per_producer || P::ingress == ingress_mode::pull;
  requires P::order == order_mode::per_producer || P::snapshot_every == 0;
  requires P::order == order_mode::per_producer || !detail::is_slab_bytes<typename P::message>;
  requires P::snapshot_every == 0 || !detail::is_slab_bytes<typename P::message>;
  requires P::publish_age_ns >= 0;
  requires std::is_same_v<decltype(P::stay), residency const>;
  requires 0 < P::threads_per_block&& P::threads_per_block <= 1024;
  requires P::threads_per_block % 32 == 0;
  requires P::most_registers == 0 || (24 <= P::most_registers && P::most_registers <= 255);
};

/// The values that fit most: every message answered, any worker, sleep when idle.
template <class Message, class Processor>
struct default_consumer {
  static_assert(std::is_trivially_copyable_v<Message>,
                "millrace: a message is copied byte by byte between memories; make it trivially "
                "copyable");

  using message = Message;
  using processor = Processor;
  using reply = std::uint64_t;
  using slot = default_slot<Message>;
  /// What a worker's functor keeps from one message to the next; the queue owns it.
  using state = no_state;
  using backoff = blocking_backoff<>;
  using probe = core::null_probe;
  using parking = core::futex_parking;
  using clock = core::steady_clock;
  /// Also the thread scope of lanes and records: who may be on the other side.
  using access = core::direct_access<cuda::thread_scope_system>;

  static constexpr completion_mode completions = completion_mode::records;
  static constexpr claim_mode claims = claim_mode::shared;
  static constexpr order_mode order = order_mode::per_producer;
  static constexpr effect_mode effects = effect_mode::anywhere;
  static constexpr queue::width processing = queue::width::thread;
  static constexpr overflow_mode overflow = overflow_mode::fail;
  /// How long a submit that blocks waits for room unless it is told otherwise.
  static constexpr std::uint64_t block_ns = 1'000'000'000;
  /// Whether `producer::cancel` can take a message back that no worker has begun.
  static constexpr bool cancellable = false;
  /// Whether a message may carry a deadline of `clock`, after which no worker begins it; on host
  /// threads alone, since a device's clock is another.
  static constexpr bool expires = false;
  /// How many further messages a worker's functor may have left undone in its `follow_up`, which it
  /// then gets as its last argument; 0 for functors that leave none. Functors of single threads may
  /// do so on host threads alone.
  static constexpr std::uint32_t follow_ups = 0;
  /// Whether producers open their lanes under names, so that one that comes back, in another
  /// process too, goes on where it was, and its former self can do no harm; on host threads alone.
  static constexpr bool named_producers = false;
  /// Messages that a submit may hold back before it publishes; 1 publishes each at once. A lane
  /// whose messages are all answered publishes at once in any case.
  static constexpr std::uint32_t publish_batch = 1;
  /// How long a worker lets held-back messages of a silent producer lie.
  static constexpr std::uint64_t publish_age_ns = 1'500;
  /// Messages between two snapshots of a worker's state; 0: none are taken. A lane keeps every
  /// message since the last one, to be done again when the worker dies, so that the state has each
  /// message's effect exactly once. Effects elsewhere may then come twice.
  static constexpr std::uint32_t snapshot_every = 0;
  /// How long workers stay at a time; for ever by itself.
  static constexpr residency stay = {};
  /// Device only, from here on.
  static constexpr loss_mode on_loss = loss_mode::give_up;
  static constexpr ingress_mode ingress = ingress_mode::pull;
  /// How many threads carry a lane together, and how many take its messages together where each
  /// does one of its own. A warp answers a message soonest; a block, of 256 threads or more, moves
  /// most.
  static constexpr queue::width gang = queue::width::warp;
  static constexpr int threads_per_block = 128;
  /// Registers of a thread, 24 to 255; 0 leaves their number to the compiler. A persistent kernel
  /// holds its registers while other kernels want to run beside it; what does not fit into fewer
  /// goes to slower local memory, which `nvcc -Xptxas -v` shows.
  static constexpr int most_registers = 0;
};

/// Whether producers and workers of a consumer may be different processes, which may die: not where
/// all producers stand still behind one, where a producer alone knows which messages it dropped,
/// where follow-ups would die with their worker, or where the one who brings workers back may die
/// while they are away: who serves shared memory in epochs parks and resumes.
template <class P>
concept shareable = requires {
  requires consumer_policy<P>;
  requires P::order == order_mode::per_producer;
  requires P::overflow != overflow_mode::drop_oldest;
  requires P::follow_ups == 0;
  requires !P::stay.bounded();
};

/// Whether a consumer of P can go on with the functor of Q: the two have the same memory, and the
/// same producers.
template <class P, class Q>
concept same_shape = requires {
  requires std::is_same_v<typename P::message, typename Q::message>;
  requires std::is_same_v<typename P::reply, typename Q::reply>;
  requires std::is_same_v<typename P::slot, typename Q::slot>;
  requires std::is_same_v<typename P::state, typename Q::state>;
  requires std::is_same_v<typename P::access, typename Q::access>;
  requires P::completions == Q::completions&& P::claims == Q::claims;
  requires P::order == Q::order;
  requires P::backoff::blocks == Q::backoff::blocks;
  requires P::publish_batch == Q::publish_batch;
  requires(P::snapshot_every == 0) == (Q::snapshot_every == 0);
  requires P::overflow == Q::overflow&& P::cancellable == Q::cancellable;
  requires P::expires == Q::expires&& P::follow_ups == Q::follow_ups;
  requires P::stay == Q::stay;
  requires P::named_producers == Q::named_producers;
};
/// And on a device the same grid.
template <class P, class Q>
concept same_grid =
    same_shape<P, Q> && P::ingress == Q::ingress && P::processing == Q::processing &&
    P::gang == Q::gang && P::threads_per_block == Q::threads_per_block;

namespace detail {

/// Whether a lane's room comes from its worker's cursor (true) or from its records.
template <consumer_policy P>
inline constexpr bool counts_credit =
    P::completions == completion_mode::none && P::claims == claim_mode::pinned;

/// Whether all producers share one ring.
template <consumer_policy P>
inline constexpr bool one_ring = P::order == order_mode::total;

/// Whether a slot says itself that it is free, because its messages may end in any order.
template <consumer_policy P>
inline constexpr bool marks_free = one_ring<P> && !counts_credit<P>;

/// A policy that may sleep needs each publication ordered before the look at the sleepers.
template <consumer_policy P>
inline constexpr core::memory_order publish_order =
    P::backoff::blocks ? core::seq_cst : core::release;

template <consumer_policy P>
inline constexpr bool defers = P::publish_batch > 1;

template <consumer_policy P>
inline constexpr bool has_state = !std::is_empty_v<typename P::state>;

/// Whether a lane keeps what its worker did since a snapshot.
template <consumer_policy P>
inline constexpr bool retains = P::snapshot_every > 0;

/// Whether the bytes of messages lie in the lane's arena.
template <consumer_policy P>
inline constexpr bool in_slab = is_slab_bytes<typename P::message>;

/// Whether a producer takes messages back from its lane, beside the workers that claim them.
template <consumer_policy P>
inline constexpr bool drops_oldest = P::overflow == overflow_mode::drop_oldest;

/// Whether a message's number is not its place in its lane.
template <consumer_policy P>
inline constexpr bool renumbers = drops_oldest<P> || P::named_producers;

/// Whether a worker looks at more than the message before it calls the functor.
template <consumer_policy P>
inline constexpr bool screens = P::cancellable || P::expires;

/// Whether functors may leave further messages to their workers.
template <consumer_policy P>
inline constexpr bool follows = P::follow_ups != 0;

/// One worker's part of them.
template <consumer_policy P>
using follow_layout_of = follow_layout<typename P::message, typename P::reply, P::follow_ups>;

/// Whether a device's workers are whole blocks.
template <consumer_policy P>
inline constexpr bool works_in_blocks =
    P::processing == width::block || (P::processing == width::thread && P::gang == width::block);

/// Messages that a device's worker does at once.
template <consumer_policy P>
inline constexpr std::uint32_t messages_at_once =
    P::processing != width::thread ? 1u
    : works_in_blocks<P>           ? static_cast<std::uint32_t>(P::threads_per_block)
                                   : 32u;

/// Whether only host threads can do it: it needs a read-modify-write between producer and worker,
/// one clock for both, or a worker that is one thread.
template <consumer_policy P>
inline constexpr bool host_only =
    drops_oldest<P> || one_ring<P> || P::expires || P::named_producers ||
    (follows<P> && P::processing == width::thread);

}  // namespace detail

}  // namespace millrace::inline v0::queue
