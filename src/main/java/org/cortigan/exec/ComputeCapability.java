// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

/**
 * Compute capability of an NVIDIA GPU: 9.0 is Hopper, 10.0 is Blackwell (CUDA C Programming Guide, Compute
 * Capabilities).
 */
public record ComputeCapability(int major, int minor) {
    public static final ComputeCapability HOPPER = new ComputeCapability(9, 0);

    /** Whether tensor cores multiply FP8: Ada (8.9), Hopper and later. */
    public boolean hasFp8() {
        return major > 8 || major == 8 && minor >= 9;
    }

    /** For messages, for example {@code 9.0}. */
    @Override
    public String toString() {
        return major + "." + minor;
    }

    /** As compilers name it, for example {@code sm_90}. */
    public String architecture() {
        return "sm_" + major + minor;
    }
}
