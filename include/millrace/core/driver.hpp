// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <dlfcn.h>
#include <type_traits>

/// \file
/// The few calls of NVIDIA's driver and management libraries that tell what devices there are,
/// looked up at run time: a program needs neither library, nor their headers, to be built or to
/// run. Types and numbers are those of cuda.h 13.0 and nvml.h 12.

namespace millrace::inline v0::core {

/// What a device query asks of the process: shared libraries and environment variables. A test
/// gives answers of its own.
template <class M>
concept driver_source = requires(M& m, void* library, char const* name) {
  { m.open(name) } noexcept -> std::same_as<void*>;
  { m.symbol(library, name) } noexcept -> std::same_as<void*>;
  { m.variable(name) } noexcept -> std::same_as<char const*>;
};

/// The dynamic loader. Libraries stay open: a driver that was initialised must not be unmapped.
struct system_driver_source {
  [[nodiscard]] static void* open(char const* name) noexcept {
    return ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  [[nodiscard]] static void* symbol(void* library, char const* name) noexcept {
    return ::dlsym(library, name);
  }
  [[nodiscard]] static char const* variable(char const* name) noexcept { return std::getenv(name); }
};
static_assert(driver_source<system_driver_source>);

/// The driver's functions; none of those here creates a context.
struct cuda_driver {
  using status = int;  // CUresult
  using device = int;  // CUdevice

  static constexpr char const* library = "libcuda.so.1";
  static constexpr status success = 0;
  static constexpr status no_device = 100;
  static constexpr int multiprocessor_count = 16;
  static constexpr int kernel_exec_timeout = 17;
  static constexpr int compute_mode = 20;
  static constexpr int capability_major = 75;
  static constexpr int capability_minor = 76;
  static constexpr int cooperative_launch = 95;
  static constexpr int mode_prohibited = 2;
  static constexpr int mode_exclusive = 3;

  status (*init)(unsigned flags) = nullptr;
  status (*version)(int* version) = nullptr;
  status (*count)(int* count) = nullptr;
  status (*get)(device* device, int ordinal) = nullptr;
  status (*name)(char* name, int length, device) = nullptr;
  status (*memory)(std::size_t* bytes, device) = nullptr;
  status (*attribute)(int* value, int attribute, device) = nullptr;
  status (*pci_bus_id)(char* id, int length, device) = nullptr;
  status (*context_state)(device, unsigned* flags, int* active) = nullptr;

  /// The functions of an open library; the name of the first that is missing, else null.
  template <driver_source Source>
  [[nodiscard]] char const* load(Source& source, void* lib) noexcept {
    struct entry {
      char const* name;
      bool found;
    };
    auto const take = [&](auto& function, char const* symbol) noexcept -> entry {
      void* const p = source.symbol(lib, symbol);
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(p);
      return {symbol, p != nullptr};
    };
    entry const entries[] = {take(init, "cuInit"),
                             take(version, "cuDriverGetVersion"),
                             take(count, "cuDeviceGetCount"),
                             take(get, "cuDeviceGet"),
                             take(name, "cuDeviceGetName"),
                             take(memory, "cuDeviceTotalMem_v2"),
                             take(attribute, "cuDeviceGetAttribute"),
                             take(pci_bus_id, "cuDeviceGetPCIBusId"),
                             take(context_state, "cuDevicePrimaryCtxGetState")};
    for (entry const& e : entries) {
      if (!e.found) { return e.name; }
    }
    return nullptr;
  }
};

/// The management library's functions, of help where the driver keeps silent. Any may be missing.
struct management_library {
  using status = int;    // nvmlReturn_t
  using device = void*;  // nvmlDevice_t
  struct process {       // nvmlProcessInfo_t of the _v3 query
    unsigned pid;
    unsigned long long memory_bytes;
    unsigned gpu_instance;
    unsigned compute_instance;
  };

  static constexpr char const* library = "libnvidia-ml.so.1";
  static constexpr status success = 0;
  static constexpr status insufficient_size = 7;

  status (*init)() = nullptr;
  status (*shutdown)() = nullptr;
  status (*count)(unsigned* count) = nullptr;
  status (*by_index)(unsigned index, device*) = nullptr;
  status (*by_pci_bus_id)(char const* id, device*) = nullptr;
  status (*mig_mode)(device, unsigned* current, unsigned* pending) = nullptr;
  status (*mig_limit)(device, unsigned* count) = nullptr;
  status (*mig_device)(device, unsigned index, device*) = nullptr;
  status (*processes)(device, unsigned* count, process*) = nullptr;

  /// The functions of an open library; false when it cannot even be started.
  template <driver_source Source>
  [[nodiscard]] bool load(Source& source, void* lib) noexcept {
    auto const take = [&](auto& function, char const* symbol) noexcept {
      void* const p = source.symbol(lib, symbol);
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(p);
    };
    take(init, "nvmlInit_v2");
    take(shutdown, "nvmlShutdown");
    take(count, "nvmlDeviceGetCount_v2");
    take(by_index, "nvmlDeviceGetHandleByIndex_v2");
    take(by_pci_bus_id, "nvmlDeviceGetHandleByPciBusId_v2");
    take(mig_mode, "nvmlDeviceGetMigMode");
    take(mig_limit, "nvmlDeviceGetMaxMigDeviceCount");
    take(mig_device, "nvmlDeviceGetMigDeviceHandleByIndex");
    take(processes, "nvmlDeviceGetComputeRunningProcesses_v3");
    return init != nullptr && shutdown != nullptr && init() == success;
  }

  /// Devices that the management library sees, whatever CUDA_VISIBLE_DEVICES says; 0 if it cannot.
  [[nodiscard]] unsigned device_count() const noexcept {
    unsigned n = 0;
    return count != nullptr && count(&n) == success ? n : 0;
  }

  /// True when MIG mode is on for device `index` and nobody made an instance to run on.
  [[nodiscard]] bool mig_without_instance(unsigned index) const noexcept {
    if (by_index == nullptr || mig_mode == nullptr) { return false; }
    device whole = nullptr;
    unsigned current = 0, pending = 0, limit = 0;
    if (by_index(index, &whole) != success) { return false; }
    if (mig_mode(whole, &current, &pending) != success || current == 0) { return false; }
    if (mig_limit == nullptr || mig_device == nullptr) { return true; }
    if (mig_limit(whole, &limit) != success) { return true; }
    for (unsigned i = 0; i < limit; ++i) {
      device instance = nullptr;
      if (mig_device(whole, i, &instance) == success) { return false; }
    }
    return true;
  }

  /// True when a process computes on the device at `id`.
  [[nodiscard]] bool has_processes(char const* id) const noexcept {
    if (by_pci_bus_id == nullptr || processes == nullptr) { return false; }
    device found = nullptr;
    if (by_pci_bus_id(id, &found) != success) { return false; }
    unsigned n = 0;
    status const answer = processes(found, &n, nullptr);
    return answer == insufficient_size || (answer == success && n > 0);
  }
};

}  // namespace millrace::inline v0::core
