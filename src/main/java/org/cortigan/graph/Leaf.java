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

    /** An i32 tensor that is filled with the given integers when the session starts. Equality compares the contents. */
    record Table(IntBuffer values, Type type) implements Leaf {
        /**
         * Copies the integers.
         *
         * @throws IllegalArgumentException if their number differs from the elements of the shape
         */
        static Table of(int[] values, int... dims) {
            Type t = Type.of(DType.I32, dims);
            if (values.length != t.shape().elements())
                throw new IllegalArgumentException(values.length + " integers do not fill a table " + t);
            return new Table(IntBuffer.wrap(values.clone()).asReadOnlyBuffer(), t);
        }

        /** A copy of the integers. */
        public int[] toArray() {
            int[] a = new int[values.capacity()];
            values.get(0, a);
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

        /** Shows the number of integers and their hash instead of the integers. */
        @Override
        public String toString() {
            return "Table[" + values.capacity() + " integers #" + Integer.toHexString(values.hashCode()) + "]";
        }
    }
}
