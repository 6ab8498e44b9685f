// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/queue/device_code.hpp>
#include <millrace/queue/functor_abi.hpp>
#include <millrace/queue/launch_device.cuh>

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// \file
/// Functors whose code comes at run time, from a module that export_functor.cuh tells how to write:
///
///     auto library = functor_library::load_file(0, "times.cubin");
///     auto times = library->find("times");
///     swap(consumer, *times, times_parameters{3}, within(1s));
///
/// **When to load.** A driver may make the loading of code wait until everything that runs on the
/// device has ended, and with it every other call of the process. So load before the launch, or
/// while the consumer is parked: park, load, `replace_device`, resume. That goes wrong without harm
/// too: what could not be loaded is not there, and the old functor goes on after the resume.

namespace millrace::inline v0::queue {

/// A functor of a library that was loaded: its kernel and its description. A copy keeps the library
/// from being unloaded.
class loaded_functor {
 public:
  /// What its module was built for.
  [[nodiscard]] functor_abi const& abi() const noexcept { return abi_; }
  [[nodiscard]] int ordinal() const noexcept { return ordinal_; }

  /// @internal What functor_library found.
  loaded_functor(std::shared_ptr<void> library, int ordinal, cudaKernel_t kernel,
                 functor_abi const& abi) noexcept
      : library_(std::move(library)), ordinal_(ordinal), kernel_(kernel), abi_(abi) {}
  // not defaulted: nvcc would take them for the device's too, where a result may be copied
  loaded_functor(loaded_functor const& other) noexcept
      : loaded_functor(other.library_, other.ordinal_, other.kernel_, other.abi_) {}
  loaded_functor& operator=(loaded_functor const& other) noexcept {
    library_ = other.library_;
    ordinal_ = other.ordinal_;
    kernel_ = other.kernel_;
    abi_ = other.abi_;
    return *this;
  }
  ~loaded_functor() {}
  /// @internal As the launching calls take it.
  [[nodiscard]] void const* kernel() const noexcept {
    return reinterpret_cast<void const*>(kernel_);
  }

 private:
  std::shared_ptr<void> library_;
  int ordinal_;
  cudaKernel_t kernel_;
  functor_abi abi_;
};

/// Code that was loaded at run time. It stays loaded until `unload`: its end alone unloads nothing,
/// since a driver may make that wait for every kernel that runs. Moves, never copies.
/// @thread one at a time
class functor_library {
 public:
  functor_library(functor_library&& other) noexcept
      : library_(std::move(other.library_)), ordinal_(other.ordinal_) {}
  functor_library& operator=(functor_library&& other) noexcept {
    library_ = std::move(other.library_);
    ordinal_ = other.ordinal_;
    return *this;
  }
  // not defaulted: nvcc would take it for the device's too, where a result may be moved
  ~functor_library() {}

  /// Loads a cubin, a fatbin or PTX for device `ordinal`. The bytes are copied.
  /// @error errc::bad_argument, native 1 for bytes that are no code, 2 for code that is cut short;
  ///        errc::no_device; errc::not_compiled for code of other devices; errc::out_of_memory;
  ///        else what cudaLibraryLoadData says
  /// @cost  PTX is compiled, which takes up to seconds; see above for what it may wait for
  [[nodiscard]] static result<functor_library> load(int ordinal,
                                                    std::span<std::byte const> code) noexcept {
    auto const kind = kind_of_code(code);
    if (!kind) { return cuda::std::unexpected(kind.error()); }
    if (auto const ready = core::cuda_check(cudaInitDevice(ordinal, 0, 0)); !ready) {
      return cuda::std::unexpected(ready.error());
    }
    core::device_guard const on(ordinal);
    if (!on.status()) { return cuda::std::unexpected(on.status().error()); }
    try {
      std::vector<std::byte> text;
      if (*kind == code_kind::ptx) {  // the driver reads it up to a zero
        text.reserve(code.size() + 1);
        text.assign(code.begin(), code.end());
        text.push_back(std::byte{0});
      }
      auto holder = std::make_shared<cudaLibrary_t>(nullptr);
      void const* const from = text.empty() ? code.data() : text.data();
      auto const loaded = core::cuda_check(
          cudaLibraryLoadData(holder.get(), from, nullptr, nullptr, 0, nullptr, nullptr, 0));
      if (!loaded) { return cuda::std::unexpected(loaded.error()); }
      return functor_library(std::move(holder), ordinal);
    } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
  }

  /// The same from a file.
  /// @error errc::native_failure with errno (POSIX) when it cannot be read; else as load
  [[nodiscard]] static result<functor_library> load_file(int ordinal, char const* path) noexcept {
    auto const code = read_code(path);
    if (!code) { return cuda::std::unexpected(code.error()); }
    return load(ordinal, *code);
  }

  /// The functor that the module exports under `name`, loaded for the device. What it was built for
  /// is read, not judged: `swap` compares.
  /// @error errc::bad_argument, native 3 when there is none of this name; errc::layout_mismatch,
  ///        native 1 when it has no description; errc::closed after `unload`; else what the runtime
  ///        says
  /// @cost  the module is loaded into the device's context; see above
  [[nodiscard]] result<loaded_functor> find(char const* name) const noexcept {
    if (library_ == nullptr) { return core::fail(errc::closed); }
    core::device_guard const on(ordinal_);
    if (!on.status()) { return cuda::std::unexpected(on.status().error()); }
    try {
      std::string const symbol = std::string("millrace_") + name;
      cudaKernel_t kernel = nullptr;
      auto const found = cudaLibraryGetKernel(&kernel, *library_, symbol.c_str());
      if (auto const ok = core::cuda_check(found); !ok) {
        return absent(found) ? core::fail(errc::bad_argument, 3)
                             : cuda::std::unexpected(ok.error());
      }
      auto const abi = read_abi((symbol + "_abi").c_str());
      if (!abi) { return cuda::std::unexpected(abi.error()); }
      cudaFuncAttributes loaded{};  // a launch that loads could wait for another kernel's end
      auto const asked =
          core::cuda_check(cudaFuncGetAttributes(&loaded, reinterpret_cast<void const*>(kernel)));
      if (!asked) { return cuda::std::unexpected(asked.error()); }
      return loaded_functor(library_, ordinal_, kernel, *abi);
    } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
  }

  /// Gives the code's memory back. A driver may make this wait until everything that runs on the
  /// device has ended: call it when nothing does that must go on.
  /// @error errc::busy while a consumer has one of its functors, or a `loaded_functor` is kept;
  ///        errc::closed when it is unloaded; else what cudaLibraryUnload says
  [[nodiscard]] result<void> unload() noexcept {
    if (library_ == nullptr) { return core::fail(errc::closed); }
    if (library_.use_count() != 1) { return core::fail(errc::busy); }
    auto const done = core::cuda_check(cudaLibraryUnload(*library_));
    library_.reset();
    return done;
  }

 private:
  functor_library(std::shared_ptr<cudaLibrary_t> library, int ordinal) noexcept
      : library_(std::move(library)), ordinal_(ordinal) {}

  [[nodiscard]] static bool absent(cudaError_t status) noexcept {
    return status == cudaErrorSymbolNotFound || status == cudaErrorInvalidSymbol;
  }

  [[nodiscard]] result<functor_abi> read_abi(char const* symbol) const noexcept {
    void* at = nullptr;
    std::size_t bytes = 0;
    auto const found = cudaLibraryGetGlobal(&at, &bytes, *library_, symbol);
    if (auto const ok = core::cuda_check(found); !ok) {
      return absent(found) ? core::fail(errc::layout_mismatch, 1)
                           : cuda::std::unexpected(ok.error());
    }
    functor_abi out;  // a shorter one is of another version, which its first words say
    bytes = std::min(bytes, sizeof out);
    cudaStream_t const own = cudaStreamPerThread;
    auto const copied =
        core::cuda_check(cudaMemcpyAsync(&out, at, bytes, cudaMemcpyDeviceToHost, own));
    if (!copied) { return cuda::std::unexpected(copied.error()); }
    if (auto const ok = core::cuda_check(cudaStreamSynchronize(own)); !ok) {
      return cuda::std::unexpected(ok.error());
    }
    return out;
  }

  std::shared_ptr<cudaLibrary_t> library_;
  int ordinal_;
};

namespace detail {

/// A kernel that was loaded, with its argument; it keeps the library.
template <consumer_policy Q>
class loaded_program final : public device_program {
 public:
  loaded_program(loaded_functor functor, kernel_args<Q> const& args) noexcept
      : functor_(std::move(functor)), args_(args) {}

  [[nodiscard]] void const* kernel() const noexcept override { return functor_.kernel(); }
  [[nodiscard]] void* argument() noexcept override { return &args_; }

 private:
  loaded_functor functor_;
  kernel_args<Q> args_;
};

/// The device behind a consumer, if it may run the functor.
template <class Parameters, consumer_policy P>
[[nodiscard]] result<device_state<P>*> device_for(consumer<P>& of,
                                                  loaded_functor const& functor) noexcept {
  if (of.shared() == nullptr) { return core::fail(errc::closed); }
  if (of.where().kind() != core::backend_kind::cuda) { return core::fail(errc::not_compiled); }
  auto& device = static_cast<device_state<P>&>(*of.shared());
  if (device.ordinal() != functor.ordinal()) { return core::fail(errc::bad_argument, 2); }
  auto const same = compare(functor_abi_of<with_functor<P, Parameters>>(), functor.abi());
  if (!same) { return cuda::std::unexpected(same.error()); }
  if (auto const fits = device.could_run(functor.kernel()); !fits) {
    return cuda::std::unexpected(fits.error());
  }
  return &device;
}

}  // namespace detail

/// Lets parked device workers go on with a functor that was loaded. Nothing changes on an error.
/// @param parameters  the functor's bytes: of the size and alignment of the module's own functor
/// @error errc::busy when the workers are not parked; errc::closed; errc::not_compiled when the
///        workers are host threads; errc::bad_argument, native 2 for a functor of another device;
///        errc::layout_mismatch, native the number of the `abi_field` that differs;
///        errc::not_co_resident, native holding how many workers would fit; errc::out_of_memory;
///        what the runtime says
template <consumer_policy P, class Parameters>
[[nodiscard]] result<void> replace_device(consumer<P>& of, loaded_functor const& functor,
                                          Parameters const& parameters) noexcept {
  using loaded_policy = with_functor<P, Parameters>;
  auto const device = detail::device_for<Parameters>(of, functor);
  if (!device) { return cuda::std::unexpected(device.error()); }
  std::scoped_lock const lock(of.shared()->leaving);  // nobody brings the workers back meanwhile
  if (!of.parked()) { return core::fail(errc::busy); }
  try {
    (*device)->replace(std::make_unique<detail::loaded_program<loaded_policy>>(
        functor, detail::seen_as<loaded_policy>((*device)->args(), {parameters})));
    return {};
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

/// `swap` for a functor that was loaded: parks the consumer's workers, gives them the functor, and
/// brings them back. What can be refused is refused before the workers are parked.
/// @error as replace_device, but for errc::busy, and the old functor goes on; as park and resume
template <consumer_policy P, class Parameters>
[[nodiscard]] result<void> swap(consumer<P>& of, loaded_functor const& functor,
                                Parameters const& parameters, recover::deadline until) noexcept {
  auto const device = detail::device_for<Parameters>(of, functor);
  if (!device) { return cuda::std::unexpected(device.error()); }
  if (auto const ended = of.park(until); !ended) { return ended; }
  auto const replaced = replace_device(of, functor, parameters);
  auto const resumed = of.resume();
  return replaced ? resumed : replaced;
}

}  // namespace millrace::inline v0::queue
