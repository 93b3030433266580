// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.util.function.IntConsumer;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.jni.ArgBuffer;
import org.cortigan.op.ArgWriter;
import org.cortigan.op.Op;
import org.jspecify.annotations.Nullable;

/** Writes a node's kernel arguments, with the addresses of its tensors, into an argument block. */
final class ArgBlock implements ArgWriter {
    /** Addresses of a node's tensors, scratch memory and native state. */
    interface Addresses {
        long in(int i, long element);

        long out(int i, long element);

        long scratch();

        /** What the kernel's prepare function returned. */
        long state();

        /** Placeholders for preparing a kernel: a non-null address only says that the tensor exists. */
        Addresses BOUND_LATER = new Addresses() {
            @Override
            public long in(int i, long element) {
                return 1;
            }

            @Override
            public long out(int i, long element) {
                return 1;
            }

            @Override
            public long scratch() {
                return 0;
            }

            @Override
            public long state() {
                return 0;
            }
        };
    }

    private final ArgBuffer to;
    private final Addresses at;

    private ArgBlock(ArgBuffer to, Addresses at) {
        this.to = to;
        this.at = at;
    }

    /** Size of a node's arguments in bytes. */
    static int bytes(Node n) {
        return write(n, null, 0, Addresses.BOUND_LATER);
    }

    /**
     * Writes a node's arguments.
     *
     * @param buffer of {@link #bytes} bytes; null to only count them
     * @param base the buffer's address
     * @return size of the arguments in bytes
     */
    static int write(Node n, @Nullable ByteBuffer buffer, long base, Addresses at) {
        ArgBuffer to = new ArgBuffer(Op.of(n).kernel(), buffer, base);
        Op.of(n).args(n, new ArgBlock(to, at));
        to.finish();
        return to.bytes();
    }

    @Override
    public ArgWriter in(String member, int input, long element) {
        to.input(member, at.in(input, element));
        return this;
    }

    @Override
    public ArgWriter out(String member, int output, long element) {
        to.output(member, at.out(output, element));
        return this;
    }

    @Override
    public ArgWriter none(String member) {
        to.none(member);
        return this;
    }

    @Override
    public ArgWriter i64(String member, long value) {
        to.i64(member, value);
        return this;
    }

    @Override
    public ArgWriter f64(String member, double value) {
        to.f64(member, value);
        return this;
    }

    @Override
    public ArgWriter flag(String member, boolean value) {
        to.flag(member, value);
        return this;
    }

    @Override
    public ArgWriter choice(String member, Enum<?> value) {
        to.choice(member, value);
        return this;
    }

    @Override
    public ArgWriter type(String member, DType type) {
        if (!type.isFloat()) throw new IllegalArgumentException("no kernel computes in " + type);
        to.choice(member, type.name());
        return this;
    }

    @Override
    public ArgWriter scratch(String member) {
        to.output(member, at.scratch());
        return this;
    }

    @Override
    public ArgWriter state(String member) {
        to.output(member, at.state());
        return this;
    }

    @Override
    public ArgWriter rows(String table, String count, int n, IntConsumer row) {
        to.rows(table, count, n, row);
        return this;
    }
}
