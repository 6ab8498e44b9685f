// SPDX-License-Identifier: Apache-2.0
// expect: conversion from|could not convert
#include <millrace/core/array_view.hpp>

namespace core = millrace::core;

int main() {
  core::const_array_view const reading;
#if defined(MILLRACE_BAD)
  core::array_view const view = reading;
#else
  core::const_array_view const view = reading;
#endif
  return view.count() == 0 ? 0 : 1;
}
