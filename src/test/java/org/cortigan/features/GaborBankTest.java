// SPDX-License-Identifier: Apache-2.0
package org.cortigan.features;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.cortigan.features.GaborBank.Phase;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GaborBankTest {
    private static final GaborBank BANK = GaborBank.standard();

    /** Amplitude of the response to a grating of amplitude 1. */
    private static double amplitude(int orientation, double frequency, double angle, double phase) {
        int n = BANK.radius(), size = BANK.size();
        float[] even = BANK.filter(orientation, Phase.EVEN), odd = BANK.filter(orientation, Phase.ODD);
        double e = 0, o = 0;
        for (int i = 0; i < size * size; i++) {
            double t = Math.cos(angle) * (i % size - n) + Math.sin(angle) * (i / size - n);
            double light = Math.cos(2 * Math.PI * frequency * t + phase);
            e += even[i] * light;
            o += odd[i] * light;
        }
        return Math.sqrt(e * e + o * o);
    }

    /** The mean of the cosine under the envelope is exp(-(2 pi 0.45)^2 / 2) = 0.018; its square is the error. */
    @ParameterizedTest
    @ValueSource(doubles = {0, 0.3, 1, 2, 3})
    void aGratingAtTheBanksFrequencyHasItsOwnAmplitude(double phase) {
        for (int k = 0; k < BANK.orientations(); k++)
            assertEquals(1, amplitude(k, BANK.frequency(), BANK.angle(k), phase), 1e-3, "orientation " + k);
    }

    @Test
    void otherOrientationsAndFrequenciesRespondLess() {
        assertTrue(amplitude(0, 0.25, Math.PI / 2, 0) < 0.05);
        assertTrue(amplitude(0, 0.25, Math.PI / 8, 0) < 0.6 && amplitude(0, 0.125, 0, 0) < 0.6);
    }

    @Test
    void filtersAreCentredAndIgnoreUniformLight() {
        int size = BANK.size();
        assertEquals(13, size);
        for (int k = 0; k < BANK.orientations(); k++) {
            float[] even = BANK.filter(k, Phase.EVEN), odd = BANK.filter(k, Phase.ODD);
            double sum = 0, sumOdd = 0;
            for (int i = 0; i < size * size; i++) {
                sum += even[i];
                sumOdd += odd[i];
                assertEquals(even[i], even[size * size - 1 - i], 1e-9);
                assertEquals(odd[i], -odd[size * size - 1 - i], 1e-9);
            }
            assertEquals(0, sum, 1e-6); // 169 values of at most 0.1, each rounded to float
            assertEquals(0, sumOdd, 1e-6);
        }
    }

    @Test
    void wrongSettingsAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> new GaborBank(0, 8, 0.45));
        assertThrows(IllegalArgumentException.class, () -> new GaborBank(0.6, 8, 0.45));
        assertThrows(IllegalArgumentException.class, () -> new GaborBank(0.25, 0, 0.45));
        assertThrows(IllegalArgumentException.class, () -> new GaborBank(0.25, 8, Double.NaN));
        assertThrows(IndexOutOfBoundsException.class, () -> BANK.filter(8, Phase.EVEN));
    }
}
