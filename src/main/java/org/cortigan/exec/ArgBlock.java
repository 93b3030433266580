// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.util.function.IntConsumer;
import org.cortigan.op.ArgWriter;

/**
 * Writes one node's argument words into memory: the struct, then its tables of rows. Run once without a buffer it only
 * counts.
 */
final class ArgBlock implements ArgWriter {
    /** Where tensors live. */
    interface Addresses {
        long in(int i, long element);

        long out(int i, long element);
    }

    private final ByteBuffer buf;
    private final long base;
    private final Addresses at;
    private final long scratch;
    private final long state;
    private final int structWords;
    private int word;
    private int tableWord;
    private boolean inTable;

    /** Counts only. */
    ArgBlock() {
        this(null, 0, null, 0, 0, 0);
    }

    /** @param structWords words of the struct itself, after which the tables begin */
    ArgBlock(ByteBuffer buf, long base, Addresses at, long scratch, long state, int structWords) {
        this.buf = buf;
        this.base = base;
        this.at = at;
        this.scratch = scratch;
        this.state = state;
        this.structWords = structWords;
        this.tableWord = structWords;
    }

    int structWords() {
        return word;
    }

    int allWords() {
        return buf == null ? word + tableWord : tableWord;
    }

    private ArgWriter put(long v) {
        int w = inTable ? tableWord++ : word++;
        if (buf != null) buf.putLong(w * 8, v);
        return this;
    }

    @Override
    public ArgWriter in(int input, long element) {
        return put(at == null ? 0 : at.in(input, element));
    }

    @Override
    public ArgWriter out(int output, long element) {
        return put(at == null ? 0 : at.out(output, element));
    }

    @Override
    public ArgWriter none() {
        return put(0);
    }

    @Override
    public ArgWriter i64(long value) {
        return put(value);
    }

    @Override
    public ArgWriter f64(double value) {
        return put(Double.doubleToRawLongBits(value));
    }

    @Override
    public ArgWriter scratch() {
        return put(scratch);
    }

    @Override
    public ArgWriter state() {
        if (word != 0) throw new IllegalStateException("state must be the first member");
        return put(state);
    }

    @Override
    public ArgWriter rows(int n, IntConsumer row) {
        put(base + 8L * tableWord);
        put(n);
        inTable = true;
        for (int i = 0; i < n; i++) row.accept(i);
        inTable = false;
        return this;
    }
}
