// SPDX-License-Identifier: Apache-2.0
package org.cortigan.ridge;

/** Pearson's r between responses and predictions that are given by their errors. */
final class Correlation {
    private Correlation() {}

    /**
     * The r of each of n vertices over the rows {@code from} to {@code to} (exclusive); 0 if responses or predictions
     * are constant.
     *
     * @param y responses [rows, n]
     * @param errors [rows, n], responses minus predictions
     */
    static double[] of(double[] y, float[] errors, int from, int to, int n) {
        double[] meanY = new double[n], meanP = new double[n];
        for (int at = from * n; at < to * n; at += n) {
            for (int i = 0; i < n; i++) {
                meanY[i] += y[at + i] / (to - from);
                meanP[i] += (y[at + i] - errors[at + i]) / (to - from);
            }
        }
        double[] yy = new double[n], pp = new double[n], yp = new double[n];
        for (int at = from * n; at < to * n; at += n) {
            for (int i = 0; i < n; i++) {
                double a = y[at + i] - meanY[i], p = y[at + i] - errors[at + i] - meanP[i];
                yy[i] += a * a;
                pp[i] += p * p;
                yp[i] += a * p;
            }
        }
        double[] r = new double[n];
        for (int i = 0; i < n; i++) {
            r[i] = yy[i] > 0 && pp[i] > 0 ? yp[i] / Math.sqrt(yy[i] * pp[i]) : 0;
        }
        return r;
    }
}
