// SPDX-License-Identifier: Apache-2.0
// Sends ten numbers to a persistent consumer and prints what comes back, each doubled.
// Expected: the sum of the replies is 90.
#include <millrace/queue.hpp>

#include <cstdio>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct twice {  // runs on a host thread or in a kernel, once for each message
  MILLRACE_HD queue::status operator()(queue::message_view<int> message,
                                       queue::reply_writer<int>& reply) const noexcept {
    reply.write(2 * message.value());
    return queue::status::ok;
  }
};
struct echo_policy : queue::default_consumer<int, twice> {
  using reply = int;
};

int main() {
  auto consumer = core::value_or_throw(queue::launch<echo_policy>(core::backend::automatic(), {}));
  auto lane = core::value_or_throw(consumer.open_lane());
  int sum = 0;
  for (int i = 0; i < 10; ++i) {
    auto const id = core::value_or_throw(lane.submit(i));
    auto const done = core::value_or_throw(lane.wait(id, queue::within(std::chrono::seconds(5))));
    std::printf("%d -> %d\n", i, done.reply);
    sum += done.reply;
  }
  std::printf("sum %d, on %s\n", sum, consumer.why().c_str());
  return sum == 90 ? 0 : 1;
}
