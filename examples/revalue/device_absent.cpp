// SPDX-License-Identifier: Apache-2.0
#include "device.hpp"

namespace revalue {

bool built_for_devices() noexcept { return false; }

millrace::result<std::unique_ptr<engine>> open_device_engine(desks&, millrace::core::backend,
                                                             std::uint32_t) {
  return millrace::core::fail(millrace::errc::not_compiled);
}

}  // namespace revalue
