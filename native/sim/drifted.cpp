// SPDX-License-Identifier: Apache-2.0
// A kernel library with a different schema and no kernels. Tests check that load_backend() refuses it.
#include "cg/abi.h"

extern "C" __attribute__((visibility("default"))) const char* cg_schema() { return "enum Backend REFERENCE SIM\n"; }
extern "C" __attribute__((visibility("default"))) const cg::Table* cg_table() { return nullptr; }
