// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/backend.hpp>
#include <millrace/core/device_fault.hpp>
#include <millrace/core/driver.hpp>
#include <millrace/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace millrace::inline v0::core {

/// The driver that CUDA 13 needs, as cuDriverGetVersion counts: 1000 × major + 10 × minor.
inline constexpr int required_driver_version = 13000;
/// The oldest architecture that CUDA 13 compiles for: 10 × major + minor.
inline constexpr int required_capability = 75;

/// One device, as the driver describes it.
struct device_info {
  std::int32_t ordinal = 0;  ///< as in backend::cuda
  std::string name;
  std::string pci_bus_id;
  std::int32_t capability = 0;  ///< 10 × major + minor: 90 for compute capability 9.0
  std::int32_t multiprocessors = 0;
  std::uint64_t memory_bytes = 0;
  bool cooperative_launch = false;
  bool kernel_timeout = false;  ///< a display watchdog ends kernels after some seconds
  device_fault fault = device_fault::none;
  std::string reason;  ///< why it cannot be used, or what to mind; empty when there is nothing

  [[nodiscard]] bool usable() const noexcept { return fault == device_fault::none; }
};

/// What a machine has. Without a single device, `fault` and `reason` say why.
struct device_report {
  std::vector<device_info> devices;
  int driver_version = 0;  ///< 0 when there is no driver
  device_fault fault = device_fault::none;
  std::string reason;
};

/// The words for a CUresult that an initialisation gives.
[[nodiscard]] constexpr char const* describe_driver_status(int status) noexcept {
  switch (status) {
    case 2: return "out of memory";
    case 3: return "not initialised; a forked process cannot use its parent's CUDA";
    case 34: return "this is the toolkit's stub library, not a driver";
    case 46: return "the device is busy or unavailable";
    case 100: return "no device";
    case 101: return "invalid device";
    case 304: return "an operating system call failed; the device files may be out of reach";
    case 802: return "the system is not ready; the fabric manager may not run";
    case 803: return "the kernel module and the driver library are of different versions";
    case 804: return "the forward-compatibility package does not support this device";
    case 805: return "cannot connect to the MPS server";
    case 807: return "the MPS server is not ready";
    case 808: return "the MPS server takes no more clients";
    case 999: return "unknown error; the kernel module may not be loaded";
    default: return "unexpected status";
  }
}

namespace detail {

[[nodiscard]] inline std::string driver_version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// Fills one device in; what the driver refuses to say becomes the device's fault.
[[nodiscard]] inline device_info ask_device(cuda_driver const& driver,
                                            management_library const* management, int ordinal) {
  device_info info;
  info.ordinal = ordinal;
  cuda_driver::device device = 0;
  char text[256] = {};
  std::size_t bytes = 0;
  int major = 0, minor = 0, mode = 0, timeout = 0, cooperative = 0;
  struct step {
    char const* name;
    int status;
  };
  auto const ask = [&]() -> step {
    auto const number = [&](int& value, int which) {
      return driver.attribute(&value, which, device);
    };
    if (int const s = driver.get(&device, ordinal)) { return {"cuDeviceGet", s}; }
    if (int const s = driver.name(text, sizeof(text) - 1, device)) {
      return {"cuDeviceGetName", s};
    }
    info.name = text;
    if (int const s = driver.memory(&bytes, device)) { return {"cuDeviceTotalMem", s}; }
    info.memory_bytes = bytes;
    if (driver.pci_bus_id(text, sizeof(text) - 1, device) == cuda_driver::success) {
      info.pci_bus_id = text;
    }
    for (int const s : {number(major, cuda_driver::capability_major),
                        number(minor, cuda_driver::capability_minor),
                        number(info.multiprocessors, cuda_driver::multiprocessor_count),
                        number(mode, cuda_driver::compute_mode),
                        number(timeout, cuda_driver::kernel_exec_timeout),
                        number(cooperative, cuda_driver::cooperative_launch)}) {
      if (s != cuda_driver::success) { return {"cuDeviceGetAttribute", s}; }
    }
    return {nullptr, cuda_driver::success};
  };
  auto const blame = [&](device_fault fault, std::string const& more) {
    info.fault = fault;
    info.reason = describe(fault) + more;
  };
  if (step const failed = ask(); failed.status != cuda_driver::success) {
    blame(device_fault::query_failed, std::string(": ") + failed.name + " gave " +
                                          std::to_string(failed.status) + " (" +
                                          describe_driver_status(failed.status) + ")");
    return info;
  }
  info.capability = 10 * major + minor;
  info.cooperative_launch = cooperative != 0;
  info.kernel_timeout = timeout != 0;

  unsigned flags = 0;
  int active = 0;
  bool const mine =
      driver.context_state(device, &flags, &active) == cuda_driver::success && active != 0;
  bool const taken = mode == cuda_driver::mode_exclusive && !mine && management != nullptr &&
                     management->has_processes(info.pci_bus_id.c_str());
  if (info.capability < required_capability) {
    blame(device_fault::architecture_too_old, ": compute capability " + std::to_string(major) +
                                                  "." + std::to_string(minor) +
                                                  ", CUDA 13 needs 7.5");
  } else if (mode == cuda_driver::mode_prohibited) {
    blame(device_fault::compute_prohibited, "");
  } else if (taken) {
    blame(device_fault::in_use, "");
  } else if (!info.cooperative_launch) {
    blame(device_fault::no_cooperative_launch, "");
  } else if (info.kernel_timeout) {
    info.reason = "a display watchdog ends kernels after some seconds";
  }
  return info;
}

/// Why a driver that works lists nothing.
template <driver_source Source>
void explain_absence(Source& source, management_library const* management, device_report& report) {
  report.fault = device_fault::no_device;
  unsigned const seen = management != nullptr ? management->device_count() : 0;
  for (unsigned i = 0; i < seen; ++i) {
    if (management->mig_without_instance(i)) { report.fault = device_fault::mig_without_instance; }
  }
  char const* const visible = source.variable("CUDA_VISIBLE_DEVICES");
  report.reason = describe(report.fault);
  bool const maybe_hidden = visible != nullptr && (management == nullptr || seen > 0);
  if (report.fault == device_fault::no_device && maybe_hidden) {
    report.fault = device_fault::hidden;
    report.reason = std::string(describe(report.fault)) + " (it is \"" + visible + "\")";
  }
}

}  // namespace detail

/// The machine's CUDA devices, asked through `source`. Never fails: what is missing is a reason in
/// the report. Creates no CUDA context, and keeps nothing: every call asks again.
/// @cost the first call starts the driver, which takes up to seconds; later ones milliseconds
/// @thread any
template <driver_source Source>
[[nodiscard]] device_report devices(Source& source) {
  device_report report;
  auto const blame = [&](device_fault fault, std::string const& more) {
    report.fault = fault;
    report.reason = describe(fault) + more;
    return report;
  };
  void* const library = source.open(cuda_driver::library);
  if (library == nullptr) { return blame(device_fault::no_driver_library, ""); }
  cuda_driver driver;
  if (char const* const missing = driver.load(source, library)) {
    return blame(device_fault::broken_driver_library, std::string(": it lacks ") + missing);
  }
  auto const refused = [&](char const* call, int status) {
    return blame(device_fault::init_failed, std::string(": ") + call + " gave " +
                                                std::to_string(status) + " (" +
                                                describe_driver_status(status) + ")");
  };
  if (int const status = driver.version(&report.driver_version)) {
    report.driver_version = 0;
    return refused("cuDriverGetVersion", status);
  }
  if (report.driver_version < required_driver_version) {
    return blame(device_fault::driver_too_old,
                 ": it speaks CUDA " + detail::driver_version_text(report.driver_version) +
                     ", this program needs " +
                     detail::driver_version_text(required_driver_version));
  }
  int const started = driver.init(0);
  if (started != cuda_driver::success && started != cuda_driver::no_device) {
    return refused("cuInit", started);
  }

  management_library functions;
  void* const second = source.open(management_library::library);
  bool const managed = second != nullptr && functions.load(source, second);
  management_library const* const management = managed ? &functions : nullptr;
  int count = 0;
  if (started == cuda_driver::success && driver.count(&count) != cuda_driver::success) {
    count = 0;
  }
  for (int i = 0; i < count; ++i) {
    report.devices.push_back(detail::ask_device(driver, management, i));
  }
  if (count <= 0) { detail::explain_absence(source, management, report); }
  if (managed) { static_cast<void>(functions.shutdown()); }
  return report;
}

/// The machine's CUDA devices.
[[nodiscard]] inline device_report devices() {
  system_driver_source source;
  return devices(source);
}

/// Where work that was asked to run on `asked` runs, given what there is. Automatic takes the first
/// usable device that has no watchdog, else host threads; the host and a usable device are taken as
/// asked.
/// @error errc::no_device for a CUDA device that is not there or not usable; `native` is its
///        device_fault
[[nodiscard]] inline result<backend> resolve(backend asked, device_report const& there) noexcept {
  if (asked.kind() == backend_kind::host) { return asked; }
  for (device_info const& info : there.devices) {
    if (asked == backend::automatic() && info.usable() && !info.kernel_timeout) {
      return backend::cuda(info.ordinal);
    }
    if (asked == backend::cuda(info.ordinal)) {
      if (info.usable()) { return asked; }
      return fail(errc::no_device, static_cast<std::int32_t>(info.fault));
    }
  }
  if (asked.kind() == backend_kind::automatic) { return backend::host(); }
  auto const fault = there.devices.empty() ? there.fault : device_fault::no_such_ordinal;
  return fail(errc::no_device, static_cast<std::int32_t>(fault));
}

/// As above, asking the machine unless `asked` is the host.
[[nodiscard]] inline result<backend> resolve(backend asked) {
  if (asked.kind() == backend_kind::host) { return asked; }
  return resolve(asked, devices());
}

/// The choice of resolve in words: "CUDA device 0 (NVIDIA H200)", "host threads: no CUDA driver
/// library (libcuda.so.1)", or why the device asked for cannot be used.
[[nodiscard]] inline std::string explain(backend asked, device_report const& there) {
  auto const chosen = resolve(asked, there);
  if (asked.kind() == backend_kind::host) { return describe(asked); }
  if (chosen && chosen->kind() == backend_kind::cuda) {
    for (device_info const& info : there.devices) {
      if (info.ordinal != chosen->ordinal()) { continue; }
      std::string const mind = info.reason.empty() ? "" : "; " + info.reason;
      return describe(*chosen) + " (" + info.name + ")" + mind;
    }
  }
  std::string why = there.reason;
  if (!chosen && !there.devices.empty()) {
    why = describe(static_cast<device_fault>(chosen.error().native));
  }
  std::string const subject = describe(chosen ? *chosen : asked);
  for (device_info const& info : there.devices) {
    if (chosen) {
      // automatic, and none will do: say why of each
      why += (why.empty() ? "" : ", ") + describe(backend::cuda(info.ordinal)) + ": " + info.reason;
    } else if (info.ordinal == asked.ordinal()) {
      why = info.reason;
    }
  }
  return subject + ": " + why;
}

}  // namespace millrace::inline v0::core
