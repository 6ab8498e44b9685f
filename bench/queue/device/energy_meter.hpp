// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <dlfcn.h>
#include <stdexcept>
#include <string>

namespace millrace::bench::device {

/// The energy that a device has used, as NVML counts it for the whole board. The library is loaded
/// when it is asked for, so that nothing links to it.
class energy_meter {
 public:
  /// @param bus_id  of the device, as the runtime writes it
  /// Throws what is missing: the library, the device in it, or its counter.
  explicit energy_meter(char const* bus_id)
      : library_(::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) { throw std::runtime_error("there is no libnvidia-ml.so.1"); }
    find(init_, "nvmlInit_v2");
    find(find_device_, "nvmlDeviceGetHandleByPciBusId_v2");
    find(energy_, "nvmlDeviceGetTotalEnergyConsumption");
    find(describe_, "nvmlErrorString");
    check(init_(), "nvmlInit");
    check(find_device_(bus_id, &device_), "nvmlDeviceGetHandleByPciBusId");
    (void)joules();
  }
  energy_meter(energy_meter const&) = delete;
  energy_meter& operator=(energy_meter const&) = delete;

  /// Since the driver was loaded.
  [[nodiscard]] double joules() const {
    unsigned long long millijoules = 0;
    check(energy_(device_, &millijoules), "nvmlDeviceGetTotalEnergyConsumption");
    return static_cast<double>(millijoules) * 1e-3;
  }

 private:
  using status = int;  // nvmlReturn_t

  template <class Function>
  void find(Function& function, char const* name) const {
    function = reinterpret_cast<Function>(::dlsym(library_, name));
    if (function == nullptr) { throw std::runtime_error(std::string("NVML has no ") + name); }
  }
  void check(status got, char const* call) const {
    if (got != 0) { throw std::runtime_error(std::string(call) + ": " + describe_(got)); }
  }

  void* library_;  ///< stays open, as drivers must
  void* device_ = nullptr;
  status (*init_)() = nullptr;
  status (*find_device_)(char const* bus_id, void** device) = nullptr;
  status (*energy_)(void* device, unsigned long long* millijoules) = nullptr;
  char const* (*describe_)(status) = nullptr;
};

}  // namespace millrace::bench::device
