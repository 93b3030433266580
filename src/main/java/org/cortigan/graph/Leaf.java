// SPDX-License-Identifier: Apache-2.0
package org.cortigan.graph;

import java.nio.IntBuffer;
import java.util.List;

/** Nodes without inputs: what comes into a graph from outside. */
public sealed interface Leaf extends Operation {
    String id();

    Type type();

    @Override
    default List<Type> infer(List<Value> inputs) {
        return List.of(type());
    }

    /** Fed before each run, for example a batch of images or a learning rate. */
    record Input(String id, Type type) implements Leaf {
        @Override
        public String name() {
            return "input";
        }
    }

    /** Storage that outlives a run and may be updated by it: parameters, optimizer state. Shared by name. */
    record Variable(String id, Type type) implements Leaf {
        @Override
        public String name() {
            return "variable";
        }
    }

    /** A tensor filled with one number when the session starts. */
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

    /** A tensor of given integers, filled in when the session starts. Equal by contents. */
    record Table(IntBuffer values, Type type) implements Leaf {
        /** The numbers are copied. */
        static Table of(int[] values, int... dims) {
            Type t = Type.of(DType.I32, dims);
            if (values.length != t.shape().elements())
                throw new IllegalArgumentException(values.length + " numbers given for a table " + t);
            return new Table(IntBuffer.wrap(values.clone()).asReadOnlyBuffer(), t);
        }

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

        /** Count and hash stand for the numbers. */
        @Override
        public String toString() {
            return "Table[" + values.capacity() + " integers #" + Integer.toHexString(values.hashCode()) + "]";
        }
    }
}
