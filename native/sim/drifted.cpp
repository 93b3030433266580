// SPDX-License-Identifier: Apache-2.0
// A kernel library with another schema, for the test that load_backend() refuses it. It has no kernels.
#include "cg/abi.h"

extern "C" __attribute__((visibility("default"))) const char* cg_schema() { return "enum Backend REFERENCE SIM\n"; }
extern "C" __attribute__((visibility("default"))) const cg::Table* cg_backend() { return nullptr; }
