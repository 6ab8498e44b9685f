// SPDX-License-Identifier: Apache-2.0
// Keys that increase, in blocks that compilers vectorise; once for each instruction set.

/// The first of keys[1..size) that is not above the one before it; `size` when there is none.
template <class K>
[[nodiscard]] std::size_t first_not_above(K const* keys, std::size_t size) noexcept {
  constexpr std::size_t block = 256 / sizeof(K);
  std::size_t i = 1;
  for (; i + block <= size; i += block) {
    K wrong = 0;
    for (std::size_t j = 0; j < block; ++j) {
      wrong = static_cast<K>(wrong | static_cast<K>(keys[i + j] <= keys[i + j - 1]));
    }
    if (wrong != 0) { break; }
  }
  for (; i < size; ++i) {
    if (keys[i] <= keys[i - 1]) { return i; }
  }
  return size;
}
