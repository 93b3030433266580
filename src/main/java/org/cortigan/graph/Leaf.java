// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

import java.nio.IntBuffer;
import java.util.List;

/** Nodes without inputs: the tensors that enter a graph from outside. */
public sealed interface Leaf extends Operation {
    /** Name of an input or variable; a description of a constant or table. */
    String id();

    /** Type of the one output. */
    Type type();

    @Override
    default List<Type> infer(List<Value> inputs) {
        return List.of(type());
    }

    /** A tensor that is fed before each run, for example a batch of images or a learning rate. */
    record Input(String id, Type type) implements Leaf {
        @Override
        public String name() {
            return "input";
        }
    }

    /**
     * Storage that outlives a run and that the run may update: parameters, optimizer state. Sessions share it by name.
     */
    record Variable(String id, Type type) implements Leaf {
        @Override
        public String name() {
            return "variable";
        }
    }

    /** A tensor that is filled with one number when the session starts. */
    record Constant(double value, Type type) implements Leaf {
        @Override
        public String id() {
            return "constant " + value;
        }

        @Override
        public String name() {
            return "constant";
        }
    }

    /**
     * A tensor that is filled with the given numbers, i32 or f32, when the session starts. Equality compares the
     * contents.
     *
     * @param values the integers, or the bits of the floats
     */
    record Table(IntBuffer values, Type type) implements Leaf {
        /**
         * Copies the integers.
         *
         * @throws IllegalArgumentException if their number differs from the elements of the shape
         */
        static Table of(int[] values, int... dims) {
            return of(values.clone(), Type.of(DType.I32, dims));
        }

        /** Copies the floats; see {@link #of(int[], int...)}. */
        static Table of(float[] values, int... dims) {
            int[] bits = new int[values.length];
            for (int i = 0; i < bits.length; i++) bits[i] = Float.floatToRawIntBits(values[i]);
            return of(bits, Type.of(DType.F32, dims));
        }

        private static Table of(int[] values, Type t) {
            if (values.length != t.shape().elements())
                throw new IllegalArgumentException(values.length + " numbers do not fill a table " + t);
            return new Table(IntBuffer.wrap(values).asReadOnlyBuffer(), t);
        }

        /** A copy of the integers. */
        public int[] toArray() {
            int[] a = new int[values.capacity()];
            values.get(0, a);
            return a;
        }

        /** A copy of the floats. */
        public float[] toFloats() {
            float[] a = new float[values.capacity()];
            for (int i = 0; i < a.length; i++) a[i] = Float.intBitsToFloat(values.get(i));
            return a;
        }

        @Override
        public String id() {
            return "table " + values.capacity() + " #" + Integer.toHexString(values.hashCode());
        }

        @Override
        public String name() {
            return "table";
        }

        /** Shows how many numbers there are and their hash instead of the numbers. */
        @Override
        public String toString() {
            return "Table[" + values.capacity() + " numbers #" + Integer.toHexString(values.hashCode()) + "]";
        }
    }
}
