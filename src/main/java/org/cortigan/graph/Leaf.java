package org.cortigan.graph;

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
}
