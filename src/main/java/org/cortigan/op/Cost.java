// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

/**
 * Lower bound of a node's work: floating-point operations (a multiply-add counts 2), and bytes moved between memory and
 * chip if every input is read once and every output is written once.
 */
public record Cost(double flops, double bytesRead, double bytesWritten) {
    /** Cost of a view. */
    public static final Cost NONE = new Cost(0, 0, 0);

    /** Bytes read and written. */
    public double bytes() {
        return bytesRead + bytesWritten;
    }
}
