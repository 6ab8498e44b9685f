// SPDX-License-Identifier: Apache-2.0
#include "work.hpp"

linkage::answer linkage::right_device() { return work(); }
