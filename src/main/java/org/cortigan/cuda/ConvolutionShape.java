// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import java.nio.ByteBuffer;
import java.util.Locale;
import java.util.stream.Stream;
import org.cortigan.graph.DType;
import org.cortigan.jni.ArgStruct;
import org.cortigan.jni.Kernels;
import org.jspecify.annotations.Nullable;

/** Shapes of x [b, h, w, c] and the weight [o, c, kh, kw], strides and padding; in16: whether both are bf16. */
record ConvolutionShape(
        int b, int h, int w, int c, int o, int kh, int kw, int sh, int sw, int ph, int pw, boolean in16) {
    /**
     * The kinds of convolution, each with its kernel and the names of operands and result in the kernel's arguments.
     */
    enum Kind {
        FORWARD("conv2d", "x", "w", "y"),
        BY_X("conv2d_grad_x", "dY", "w", "dX"),
        BY_W("conv2d_grad_w", "x", "dY", "dW");
        final String kernel, first, second, result;

        Kind(String kernel, String first, String second, String result) {
            this.kernel = kernel;
            this.first = first;
            this.second = second;
            this.result = result;
        }

        /** The kind that a kernel computes; null for other kernels. */
        static @Nullable Kind of(String kernel) {
            for (Kind k : values()) if (k.kernel.equals(kernel)) return k;
            return null;
        }
    }

    static ConvolutionShape of(String kernel, ByteBuffer args) {
        ArgStruct s = Kernels.args(kernel);
        int[] d = Stream.of("B", "H", "W", "C", "O", "KH", "KW", "sh", "sw", "ph", "pw")
                .mapToInt(name -> Math.toIntExact(args.getLong(s.offset(name))))
                .toArray();
        boolean in16 = args.getLong(s.offset("type")) == DType.BF16.variant();
        return new ConvolutionShape(d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], in16);
    }

    int outputHeight() {
        return (h + 2 * ph - kh) / sh + 1;
    }

    int outputWidth() {
        return (w + 2 * pw - kw) / sw + 1;
    }

    /** Positions of the weight: kh kw. */
    int taps() {
        return kh * kw;
    }

    long inputElements() {
        return (long) b * h * w * c;
    }

    long outputElements() {
        return (long) b * outputHeight() * outputWidth() * o;
    }

    long weightElements() {
        return (long) o * c * taps();
    }

    /** The type of x and the weight. */
    DType type() {
        return in16 ? DType.BF16 : DType.F32;
    }

    /** The shapes as text, for messages and for keys of the cache. */
    String text() {
        return String.format(
                Locale.ROOT,
                "%d x %d x %d x %d by %d x %d x %d, strides %d %d, padding %d %d",
                b,
                h,
                w,
                c,
                o,
                kh,
                kw,
                sh,
                sw,
                ph,
                pw);
    }
}
