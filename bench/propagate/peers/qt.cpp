// SPDX-License-Identifier: Apache-2.0
// Qt's part of the suite, apart from the rest: Qt asks for code in any place (-fPIC).
#include "bench/propagate/peers/qt.hpp"

#include "bench/propagate/peers/sources.hpp"
#include "bench/propagate/suite_bench.hpp"

namespace millrace::bench {

std::optional<contender> qt_trial(std::string_view bench) { return suite_trial<peers::qt>(bench); }

}  // namespace millrace::bench
