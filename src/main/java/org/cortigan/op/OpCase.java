// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.List;
import java.util.function.Function;
import org.cortigan.graph.Value;

/**
 * One use of an op, from which its tests and its benchmark are derived: reference against fast kernels, gradient
 * against central differences, guard words, determinism, in-place against out-of-place, cost.
 *
 * @param name shapes and options in short
 * @param body builds the op on inputs of a {@link CaseInputs} and returns the outputs to compare
 * @param terms length n of the longest sum behind one output; the f32 tolerance is n * 2^-24 * scale, with scale the
 *     largest magnitude among reference outputs (at least {@code scale})
 * @param scale magnitude of the largest intermediate result, where outputs cancel below it; 0 if they do not
 * @param bf16Roundings how many times a result is rounded to bf16 inside; each allows one ulp (2^-8), which is twice
 *     the rounding error of a naive kernel; 1 for most
 * @param gradient whether central differences are to agree with the symbolic gradient
 * @param bench whether it is a shape worth timing
 */
public record OpCase(
        String name,
        Function<CaseInputs, List<Value>> body,
        long terms,
        double scale,
        int bf16Roundings,
        boolean gradient,
        boolean bench) {
    /** A small case with gradient check. */
    public static OpCase of(String name, long terms, Function<CaseInputs, List<Value>> body) {
        return new OpCase(name, body, terms, 0, 1, true, false);
    }

    /** Without gradient check: for ops that are gradients or updates themselves. */
    public OpCase noGradient() {
        return new OpCase(name, body, terms, scale, bf16Roundings, false, bench);
    }

    /** A shape of the recipes: timed by the benchmark and too large for central differences. */
    public OpCase benchmark() {
        return new OpCase(name, body, terms, scale, bf16Roundings, false, true);
    }

    public OpCase terms(long n) {
        return new OpCase(name, body, n, scale, bf16Roundings, gradient, bench);
    }

    public OpCase scaled(double magnitude) {
        return new OpCase(name, body, terms, magnitude, bf16Roundings, gradient, bench);
    }

    public OpCase roundings(int n) {
        return new OpCase(name, body, terms, scale, n, gradient, bench);
    }
}
