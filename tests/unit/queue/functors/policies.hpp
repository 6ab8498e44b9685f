// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/policy.hpp>

#include <cstdint>

/// \file
/// What the modules under functors/ and the program that loads them agree on.

namespace functor_test {

namespace queue = millrace::queue;

/// Answers with the message plus a number.
struct plus {
  std::uint64_t term = 0;
  MILLRACE_HD queue::status operator()(queue::message_view<std::uint64_t> message,
                                       queue::reply_writer<std::uint64_t>& reply) const noexcept {
    reply.write(message.value() + term);
    return queue::status::ok;
  }
};
struct plus_policy : queue::default_consumer<std::uint64_t, plus> {
  static constexpr std::uint32_t contract = 7;
};

/// The parameters of the module's functor `times`, which the program does not know.
struct factor {
  std::uint64_t value = 1;
};

}  // namespace functor_test
