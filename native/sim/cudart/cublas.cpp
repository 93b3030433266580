// SPDX-License-Identifier: Apache-2.0
// Only there because the bindings ask for it.
extern "C" __attribute__((visibility("default"))) int cublas_is_simulated() { return 1; }
