// SPDX-License-Identifier: Apache-2.0
#include "work.hpp"

linkage::answer linkage::left_device() { return work(); }
