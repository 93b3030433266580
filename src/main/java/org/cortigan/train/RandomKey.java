// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

/** Keys of random numbers, each a pure function of a seed and an index: of a step, an epoch or a photograph. */
final class RandomKey {
    /** The golden ratio in 64 bits: multiples of it by small numbers differ in about half of their bits. */
    static final long GOLDEN_RATIO = 0x9E3779B97F4A7C15L;

    private RandomKey() {}

    /** 64 random bits by the finaliser of SplitMix64 (Steele et al. 2014). */
    static long of(long seed, long index) {
        long z = (seed + 1) * GOLDEN_RATIO + index;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
