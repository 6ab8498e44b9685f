// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace millrace::inline v0::memory {

/// Memory with a name, which several processes map. It stays when a process dies, and until
/// somebody removes the name and the last one that maps it is gone. Moves, never copies.
/// @thread one at a time; the memory itself any
class shared_memory {
 public:
  shared_memory() noexcept = default;
  shared_memory(shared_memory&& other) noexcept
      : name_(std::move(other.name_)),
        file_(std::exchange(other.file_, -1)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  shared_memory& operator=(shared_memory&& other) noexcept {
    shared_memory moved(std::move(other));
    std::swap(name_, moved.name_);
    std::swap(file_, moved.file_);
    std::swap(data_, moved.data_);
    std::swap(size_, moved.size_);
    return *this;
  }
  ~shared_memory() {
    if (data_ != nullptr) { ::munmap(data_, size_); }
    if (file_ >= 0) { ::close(file_); }
  }

  /// Makes zeroed memory under a name that nobody has yet.
  /// @param name  begins with a slash and has no other
  /// @error errc::bad_argument for 0 bytes; errc::native_failure with errno: EEXIST, EINVAL, ENOMEM
  [[nodiscard]] static result<shared_memory> create(std::string name, std::size_t bytes) {
    if (bytes == 0) { return core::fail(errc::bad_argument, 2); }
    shared_memory made;
    made.file_ = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made.file_ < 0) { return failed(); }
    made.name_ = std::move(name);
    // allocated now: a page that cannot be had later would be a signal, not an error
    int const room = ::posix_fallocate(made.file_, 0, static_cast<off_t>(bytes));
    if (room != 0) {
      static_cast<void>(made.remove());
      return core::fail(errc::native_failure, core::origin::posix, room);
    }
    return mapped(std::move(made), bytes);
  }

  /// Maps memory that somebody made.
  /// @error errc::native_failure with errno: ENOENT, EACCES
  [[nodiscard]] static result<shared_memory> open(std::string name) {
    shared_memory made;
    made.file_ = ::shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0600);
    if (made.file_ < 0) { return failed(); }
    made.name_ = std::move(name);
    struct stat about{};
    if (::fstat(made.file_, &about) != 0) { return failed(); }
    if (about.st_size == 0) { return core::fail(errc::layout_mismatch); }
    return mapped(std::move(made), static_cast<std::size_t>(about.st_size));
  }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::string const& name() const noexcept { return name_; }

  /// Takes the name away; who maps the memory keeps it.
  /// @error errc::native_failure with errno
  result<void> remove() noexcept {
    if (::shm_unlink(name_.c_str()) != 0) { return failed(); }
    return {};
  }

  /// Takes lock `number` for this object, until it is given back, or this object or its process
  /// ends in whatever way. Other objects, of this process too, have it refused.
  /// @error errc::busy; errc::native_failure with errno
  [[nodiscard]] result<void> try_lock(std::uint32_t number) noexcept {
    return set_lock(number, F_WRLCK);
  }
  void unlock(std::uint32_t number) noexcept { static_cast<void>(set_lock(number, F_UNLCK)); }
  /// Whether another object holds lock `number`.
  [[nodiscard]] bool locked(std::uint32_t number) const noexcept {
    struct flock about = range(number, F_WRLCK);
    return ::fcntl(file_, F_OFD_GETLK, &about) == 0 && about.l_type != F_UNLCK;
  }

 private:
  [[nodiscard]] static cuda::std::unexpected<error> failed() noexcept {
    return core::fail(errc::native_failure, core::origin::posix, errno);
  }
  [[nodiscard]] static result<shared_memory> mapped(shared_memory made, std::size_t bytes) {
    void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, made.file_, 0);
    if (at == MAP_FAILED) { return failed(); }
    made.data_ = static_cast<std::byte*>(at);
    made.size_ = bytes;
    return made;
  }
  [[nodiscard]] static struct flock range(std::uint32_t number, short type) noexcept {
    struct flock about{};
    about.l_type = type;
    about.l_whence = SEEK_SET;
    about.l_start = number;
    about.l_len = 1;
    return about;
  }
  [[nodiscard]] result<void> set_lock(std::uint32_t number, short type) noexcept {
    struct flock about = range(number, type);
    if (::fcntl(file_, F_OFD_SETLK, &about) == 0) { return {}; }
    if (errno == EAGAIN || errno == EACCES) { return core::fail(errc::busy); }
    return failed();
  }

  std::string name_;
  int file_ = -1;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace millrace::inline v0::memory
