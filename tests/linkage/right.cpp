// SPDX-License-Identifier: Apache-2.0
#include "work.hpp"

linkage::answer linkage::right() { return work(); }
