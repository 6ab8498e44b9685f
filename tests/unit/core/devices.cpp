// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/devices.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace core = millrace::core;
using core::backend;
using core::device_fault;

namespace {

struct fake_device {
  int capability = 90;
  int mode = 0;
  int timeout = 0;
  int cooperative = 1;
  int broken_attribute = -1;
  bool own_context = false;
  bool nameless = false;
};

struct fake_management {
  unsigned devices = 0;
  bool starts = true;
  unsigned mig = 0;
  unsigned mig_instances = 0;
  unsigned processes = 0;
};

// The driver's functions are plain pointers, so the machine they describe stands here.
struct fake_machine {
  bool has_driver = true;
  std::string missing_symbol = {};
  int version = 13000;
  int version_status = 0;
  int init_status = 0;
  std::vector<fake_device> devices = {};
  bool has_management = false;
  fake_management management = {};
  char const* visible = nullptr;
  bool shut_down = false;
};
fake_machine machine;

namespace driver {
int init(unsigned) { return machine.init_status; }
int version(int* out) {
  *out = machine.version;
  return machine.version_status;
}
int count(int* out) {
  *out = static_cast<int>(machine.devices.size());
  return 0;
}
int get(int* device, int ordinal) {
  *device = 100 + ordinal;
  return 0;
}
fake_device& at(int device) { return machine.devices.at(static_cast<std::size_t>(device - 100)); }
int name(char* text, int length, int device) {
  if (at(device).nameless) { return 999; }
  std::strncpy(text, "Fake GPU", static_cast<std::size_t>(length));
  return 0;
}
int memory(std::size_t* bytes, int) {
  *bytes = std::size_t{80} << 30;
  return 0;
}
int attribute(int* value, int which, int device) {
  fake_device const& d = at(device);
  if (which == d.broken_attribute) { return 101; }
  switch (which) {
    case core::cuda_driver::capability_major: *value = d.capability / 10; return 0;
    case core::cuda_driver::capability_minor: *value = d.capability % 10; return 0;
    case core::cuda_driver::multiprocessor_count: *value = 132; return 0;
    case core::cuda_driver::compute_mode: *value = d.mode; return 0;
    case core::cuda_driver::kernel_exec_timeout: *value = d.timeout; return 0;
    case core::cuda_driver::cooperative_launch: *value = d.cooperative; return 0;
    default: return 1;
  }
}
int pci_bus_id(char* text, int length, int) {
  std::strncpy(text, "0000:01:00.0", static_cast<std::size_t>(length));
  return 0;
}
int context_state(int device, unsigned* flags, int* active) {
  *flags = 0;
  *active = at(device).own_context ? 1 : 0;
  return 0;
}
}  // namespace driver

namespace management {
using handle = void*;
int init() { return machine.management.starts ? 0 : 9; }
int shutdown() {
  machine.shut_down = true;
  return 0;
}
int count(unsigned* out) {
  *out = machine.management.devices;
  return 0;
}
int by_index(unsigned, handle* out) {
  *out = &machine;
  return 0;
}
int by_pci_bus_id(char const* id, handle* out) {
  *out = &machine;
  return std::string_view(id) == "0000:01:00.0" ? 0 : 6;
}
int mig_mode(handle, unsigned* current, unsigned* pending) {
  *current = *pending = machine.management.mig;
  return 0;
}
int mig_limit(handle, unsigned* out) {
  *out = 7;
  return 0;
}
int mig_device(handle, unsigned index, handle* out) {
  *out = &machine;
  return index < machine.management.mig_instances ? 0 : 6;
}
int processes(handle, unsigned* out, core::management_library::process*) {
  *out = machine.management.processes;
  return *out > 0 ? 7 : 0;
}
}  // namespace management

struct fake_source {
  static void* open(char const* name) noexcept {
    if (std::strcmp(name, core::cuda_driver::library) == 0) {
      return machine.has_driver ? &machine : nullptr;
    }
    return machine.has_management ? &machine.management : nullptr;
  }
  static void* symbol(void*, char const* name) noexcept {
    if (machine.missing_symbol == name) { return nullptr; }
    struct entry {
      std::string_view name;
      void* function;
    };
    auto const p = [](auto* f) { return reinterpret_cast<void*>(f); };
    entry const entries[] = {
        {"cuInit", p(driver::init)},
        {"cuDriverGetVersion", p(driver::version)},
        {"cuDeviceGetCount", p(driver::count)},
        {"cuDeviceGet", p(driver::get)},
        {"cuDeviceGetName", p(driver::name)},
        {"cuDeviceTotalMem_v2", p(driver::memory)},
        {"cuDeviceGetAttribute", p(driver::attribute)},
        {"cuDeviceGetPCIBusId", p(driver::pci_bus_id)},
        {"cuDevicePrimaryCtxGetState", p(driver::context_state)},
        {"nvmlInit_v2", p(management::init)},
        {"nvmlShutdown", p(management::shutdown)},
        {"nvmlDeviceGetCount_v2", p(management::count)},
        {"nvmlDeviceGetHandleByIndex_v2", p(management::by_index)},
        {"nvmlDeviceGetHandleByPciBusId_v2", p(management::by_pci_bus_id)},
        {"nvmlDeviceGetMigMode", p(management::mig_mode)},
        {"nvmlDeviceGetMaxMigDeviceCount", p(management::mig_limit)},
        {"nvmlDeviceGetMigDeviceHandleByIndex", p(management::mig_device)},
        {"nvmlDeviceGetComputeRunningProcesses_v3", p(management::processes)},
    };
    for (entry const& e : entries) {
      if (e.name == name) { return e.function; }
    }
    return nullptr;
  }
  static char const* variable(char const*) noexcept { return machine.visible; }
};
static_assert(core::driver_source<fake_source>);

core::device_report ask(fake_machine there) {
  machine = std::move(there);
  fake_source source;
  return core::devices(source);
}

bool contains(std::string const& text, char const* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("devices: without a driver library there is none, and the reason names the library") {
  auto const report = ask({.has_driver = false});
  CHECK(report.devices.empty());
  CHECK(report.fault == device_fault::no_driver_library);
  CHECK(contains(report.reason, "libcuda.so.1"));
  CHECK(core::explain(backend::automatic(), report) ==
        "host threads: no CUDA driver library (libcuda.so.1)");
}

TEST_CASE("devices: a driver library that lacks a function is named with the function") {
  auto const report = ask({.missing_symbol = "cuDevicePrimaryCtxGetState"});
  CHECK(report.fault == device_fault::broken_driver_library);
  CHECK(contains(report.reason, "cuDevicePrimaryCtxGetState"));
}

TEST_CASE("devices: a driver older than CUDA 13 is too old, and both versions are told") {
  auto const report = ask({.version = 12040, .devices = {{}}});
  CHECK(report.devices.empty());
  CHECK(report.fault == device_fault::driver_too_old);
  CHECK(contains(report.reason, "CUDA 12.4"));
  CHECK(contains(report.reason, "needs 13.0"));
  CHECK(report.driver_version == 12040);
}

TEST_CASE("devices: the toolkit's stub library is told from a driver") {
  auto const report = ask({.version_status = 34});
  CHECK(report.fault == device_fault::init_failed);
  CHECK(contains(report.reason, "stub library"));
  CHECK(report.driver_version == 0);
}

TEST_CASE("devices: a driver that does not start is told with its status in words") {
  for (int const status : {2, 3, 34, 46, 101, 304, 802, 803, 804, 805, 807, 808, 999, 12345}) {
    auto const report = ask({.init_status = status});
    CHECK(report.devices.empty());
    CHECK(report.fault == device_fault::init_failed);
    CHECK(contains(report.reason, std::to_string(status).c_str()));
    CHECK(contains(report.reason, core::describe_driver_status(status)));
  }
}

TEST_CASE("devices: no device is told as such, whether cuInit or the count says so") {
  CHECK(ask({.init_status = 100}).fault == device_fault::no_device);
  CHECK(ask({}).fault == device_fault::no_device);
}

TEST_CASE("devices: a variable that hides every device is named with its value") {
  fake_machine hidden{.init_status = 100, .visible = "-1"};
  auto const guessed = ask(hidden);
  CHECK(guessed.fault == device_fault::hidden);
  CHECK(contains(guessed.reason, "CUDA_VISIBLE_DEVICES"));
  CHECK(contains(guessed.reason, "\"-1\""));

  hidden.has_management = true;
  hidden.management.devices = 2;
  CHECK(ask(hidden).fault == device_fault::hidden);
  hidden.management.devices = 0;
  CHECK(ask(hidden).fault == device_fault::no_device);
}

TEST_CASE("devices: MIG mode without an instance is the reason when the driver lists nothing") {
  fake_machine sliced{.init_status = 100, .has_management = true};
  sliced.management = {.devices = 1, .mig = 1};
  auto const report = ask(sliced);
  CHECK(report.fault == device_fault::mig_without_instance);
  CHECK(contains(report.reason, "MIG"));
  CHECK(machine.shut_down);

  sliced.management.mig_instances = 1;
  CHECK(ask(sliced).fault == device_fault::no_device);
}

TEST_CASE("devices: a management library that does not start or is incomplete is done without") {
  fake_machine there{.init_status = 100, .has_management = true};
  there.management = {.devices = 1, .starts = false, .mig = 1};
  CHECK(ask(there).fault == device_fault::no_device);
  for (char const* missing : {"nvmlDeviceGetMigMode", "nvmlDeviceGetHandleByIndex_v2",
                              "nvmlDeviceGetCount_v2", "nvmlInit_v2", "nvmlShutdown"}) {
    there.management.starts = true;
    there.missing_symbol = missing;
    CHECK(ask(there).fault == device_fault::no_device);
  }
  for (char const* missing :
       {"nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetMigDeviceHandleByIndex"}) {
    there.missing_symbol = missing;
    CHECK(ask(there).fault == device_fault::mig_without_instance);
  }
}

TEST_CASE("devices: a usable device is described") {
  auto const report = ask({.devices = {{}}});
  REQUIRE(report.devices.size() == 1);
  auto const& d = report.devices[0];
  CHECK(d.usable());
  CHECK(d.reason.empty());
  CHECK(d.ordinal == 0);
  CHECK(d.name == "Fake GPU");
  CHECK(d.pci_bus_id == "0000:01:00.0");
  CHECK(d.capability == 90);
  CHECK(d.multiprocessors == 132);
  CHECK(d.memory_bytes == std::uint64_t{80} << 30);
  CHECK(d.cooperative_launch);
  CHECK(report.fault == device_fault::none);
  CHECK(core::explain(backend::automatic(), report) == "CUDA device 0 (Fake GPU)");
}

TEST_CASE("devices: each thing that keeps a device from use is its fault, with a reason") {
  struct row {
    fake_device device;
    device_fault fault;
    char const* word;
  };
  row const rows[] = {
      {{.capability = 70}, device_fault::architecture_too_old, "7.0"},
      {{.mode = core::cuda_driver::mode_prohibited}, device_fault::compute_prohibited, "prohibits"},
      {{.cooperative = 0}, device_fault::no_cooperative_launch, "cooperatively"},
      {{.broken_attribute = 16}, device_fault::query_failed, "cuDeviceGetAttribute gave 101"},
      {{.nameless = true}, device_fault::query_failed, "cuDeviceGetName gave 999"},
  };
  for (row const& r : rows) {
    auto const report = ask({.devices = {r.device}});
    REQUIRE(report.devices.size() == 1);
    CHECK(report.devices[0].fault == r.fault);
    CHECK(contains(report.devices[0].reason, r.word));
    auto const asked = core::resolve(backend::cuda(0), report);
    REQUIRE_FALSE(asked);
    CHECK(asked.error().code == millrace::errc::no_device);
    CHECK(asked.error().native == static_cast<std::int32_t>(r.fault));
    CHECK(contains(core::explain(backend::cuda(0), report), r.word));
    CHECK(core::resolve(backend::automatic(), report) == backend::host());
    CHECK(contains(core::explain(backend::automatic(), report), r.word));
  }
}

TEST_CASE("devices: an exclusive device is taken only when another process has it") {
  fake_machine there{.devices = {{.mode = core::cuda_driver::mode_exclusive}},
                     .has_management = true};
  CHECK(ask(there).devices[0].usable());
  there.management.processes = 1;
  CHECK(ask(there).devices[0].fault == device_fault::in_use);
  there.devices[0].own_context = true;
  CHECK(ask(there).devices[0].usable());
  there.devices[0].own_context = false;
  there.has_management = false;
  CHECK(ask(there).devices[0].usable());
}

TEST_CASE("devices: a watchdog keeps automatic away, not one who asks by ordinal") {
  auto const report = ask({.devices = {{.timeout = 1}}});
  CHECK(report.devices[0].usable());
  CHECK(contains(report.devices[0].reason, "watchdog"));
  CHECK(core::resolve(backend::automatic(), report) == backend::host());
  CHECK(core::resolve(backend::cuda(0), report) == backend::cuda(0));
}

TEST_CASE("resolve: automatic takes the first device that will do") {
  auto const report = ask({.devices = {{.capability = 61}, {.timeout = 1}, {}, {}}});
  CHECK(core::resolve(backend::automatic(), report) == backend::cuda(2));
  CHECK(core::resolve(backend::cuda(3), report) == backend::cuda(3));
  CHECK(core::resolve(backend::host(), report) == backend::host());
  CHECK(core::explain(backend::host(), report) == "host threads");
}

TEST_CASE("resolve: an ordinal that is not there is an error that says so") {
  auto const report = ask({.devices = {{}}});
  for (int const ordinal : {1, 7, -1}) {
    auto const asked = core::resolve(backend::cuda(ordinal), report);
    REQUIRE_FALSE(asked);
    CHECK(asked.error().native == static_cast<std::int32_t>(device_fault::no_such_ordinal));
  }
  CHECK(core::explain(backend::cuda(7), report) == "CUDA device 7: no device has this ordinal");
}

TEST_CASE("resolve: a CUDA device where there is no driver is an error that says why") {
  auto const report = ask({.has_driver = false});
  auto const asked = core::resolve(backend::cuda(0), report);
  REQUIRE_FALSE(asked);
  CHECK(asked.error().native == static_cast<std::int32_t>(device_fault::no_driver_library));
  CHECK(contains(core::explain(backend::cuda(0), report), "libcuda.so.1"));
}

TEST_CASE("devices: this very machine answers, and the answer holds together") {
  auto const report = core::devices();
  CHECK((report.fault == device_fault::none) == !report.devices.empty());
  CHECK(report.reason.empty() == !report.devices.empty());
  auto const chosen = core::resolve(backend::automatic());
  REQUIRE(chosen);
  CHECK(*chosen == core::resolve(backend::automatic(), report));
}

TEST_CASE("device_fault: every value has words of its own") {
  for (int i = 0; i <= 13; ++i) {
    CHECK(std::string_view(core::describe(static_cast<device_fault>(i))) != "unknown fault");
  }
  CHECK(std::string_view(core::describe(static_cast<device_fault>(14))) == "unknown fault");
}

TEST_CASE("devices: asking creates no context") {
  core::system_driver_source source;
  core::cuda_driver real;
  void* const library = source.open(core::cuda_driver::library);
  if (library == nullptr || real.load(source, library) != nullptr) { return; }
  auto const report = core::devices();
  for (auto const& info : report.devices) {
    core::cuda_driver::device device = 0;
    unsigned flags = 0;
    int active = 1;
    REQUIRE(real.get(&device, info.ordinal) == core::cuda_driver::success);
    REQUIRE(real.context_state(device, &flags, &active) == core::cuda_driver::success);
    CHECK(active == 0);
  }
}
