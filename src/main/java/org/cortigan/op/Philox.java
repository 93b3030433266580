// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

/**
 * The random number generator Philox4x32-10 (Salmon et al. 2011) on the host: the same words as the op {@link Normal}
 * draws, for random numbers that are functions of a seed and counters.
 */
public final class Philox {
    /** Rounds of the generator. */
    private static final int ROUNDS = 10;

    private Philox() {}

    /**
     * Four random words, each of 32 bits.
     *
     * @param key two words, such as the low and the high half of a seed
     * @param counter four words; another counter gives other words
     */
    public static int[] words(int[] key, int... counter) {
        int c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
        for (int round = 0; round < ROUNDS; round++) {
            long a = 0xd2511f53L * Integer.toUnsignedLong(c0), b = 0xcd9e8d57L * Integer.toUnsignedLong(c2);
            c0 = (int) (b >>> 32) ^ c1 ^ k0;
            c1 = (int) b;
            c2 = (int) (a >>> 32) ^ c3 ^ k1;
            c3 = (int) a;
            k0 += 0x9e3779b9;
            k1 += 0xbb67ae85;
        }
        return new int[] {c0, c1, c2, c3};
    }
}
