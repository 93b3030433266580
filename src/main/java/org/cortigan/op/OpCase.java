// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import java.util.function.Function;
import org.cortigan.graph.Value;

/**
 * One use of an op, from which tests and a benchmark are derived: reference against fast kernels, gradient against
 * central differences, guard words, determinism, in-place against out-of-place, cost.
 *
 * @param name short text of shapes and options
 * @param body builds the op on inputs of a {@link CaseInputs} and returns the outputs to compare
 * @param terms number n of terms in the longest sum that contributes to one output; the f32 tolerance is n * 2^-24 *
 *     scale, where scale is the largest magnitude among reference outputs, or {@code scale} if that is larger
 * @param scale magnitude of the largest intermediate result, if outputs are smaller by cancellation; else 0
 * @param bf16Roundings how many times a result is rounded to bf16 on the way to an output; each allows one ulp (2^-8),
 *     which is twice the rounding error of a naive kernel; 1 for most ops
 * @param gradient whether to check the symbolic gradient against central differences
 * @param bench whether the benchmark times this case
 */
public record OpCase(
        String name,
        Function<CaseInputs, List<Value>> body,
        long terms,
        double scale,
        int bf16Roundings,
        boolean gradient,
        boolean bench) {
    /** A small case with gradient check, one bf16 rounding and no cancellation. */
    public static OpCase of(String name, long terms, Function<CaseInputs, List<Value>> body) {
        return new OpCase(name, body, terms, 0, 1, true, false);
    }

    /** The case without gradient check: for ops that are gradients or updates, and for large shapes. */
    public OpCase noGradient() {
        return new OpCase(name, body, terms, scale, bf16Roundings, false, bench);
    }

    /** The case as a benchmark: a shape from the recipes, too large for the gradient check. */
    public OpCase benchmark() {
        return new OpCase(name, body, terms, scale, bf16Roundings, false, true);
    }

    /** The case with another {@link #terms()}. */
    public OpCase terms(long n) {
        return new OpCase(name, body, n, scale, bf16Roundings, gradient, bench);
    }

    /** The case with another {@link #scale()}. */
    public OpCase scaled(double magnitude) {
        return new OpCase(name, body, terms, magnitude, bf16Roundings, gradient, bench);
    }

    /** The case with another {@link #bf16Roundings()}. */
    public OpCase roundings(int n) {
        return new OpCase(name, body, terms, scale, n, gradient, bench);
    }
}
