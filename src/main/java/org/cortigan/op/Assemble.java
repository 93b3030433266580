// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Assembles each row of the output from pieces of the inputs: concatenation, slices, zero padding, repetition (see
 * {@link Ops}). Each input contributes exactly one piece.
 *
 * @param outer number of rows into which the output is divided
 * @param pieces of a row, from left to right
 * @param shape of the output, with outer times the sum of the pieces' lengths elements
 */
record Assemble(long outer, List<Piece> pieces, Shape shape) implements Op {
    /**
     * Adjacent columns of every row.
     *
     * @param input index of the input, or -1 for zeros
     * @param offset of row 0 in the input, in elements
     * @param stride between rows in the input, in elements; 0 repeats the same elements in every row
     * @param len number of columns
     */
    record Piece(int input, long offset, long stride, long len) {
        static Piece zeros(long len) {
            return new Piece(-1, 0, 0, len);
        }
    }

    Assemble {
        pieces = pieces.stream().filter(p -> p.len > 0).toList();
    }

    @Override
    public String name() {
        return "assemble";
    }

    private long width() {
        return pieces.stream().mapToLong(Piece::len).sum();
    }

    @Override
    public List<Type> infer(List<Value> in) {
        DType t = in.get(0).dtype();
        for (Value v : in)
            Op.require(v.dtype() == t && t.isFloat(), this, in, "pieces must have one floating-point type");
        Op.require(shape.elements() == outer * width(), this, in, "the pieces do not fill " + shape);
        for (Piece p : pieces)
            if (p.input >= 0)
                Op.require(
                        p.offset >= 0
                                && p.offset + (outer - 1) * p.stride + p.len
                                        <= in.get(p.input).shape().elements(),
                        this,
                        in,
                        "piece " + p + " reaches outside its input");
        return List.of(new Type(t, shape));
    }

    @Override
    public boolean joins(Node n) {
        if (outer != 1 || pieces.size() != n.inputs().size()) return false;
        for (int i = 0; i < pieces.size(); i++)
            if (pieces.get(i).input != i
                    || pieces.get(i).len != n.input(i).shape().elements()) return false;
        return true;
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        Value dY = dOut.get(0);
        Value[] d = new Value[n.inputs().size()];
        long at = 0;
        for (Piece p : pieces) {
            if (p.input >= 0 && wanted[p.input]) {
                Value x = n.input(p.input);
                Piece back = new Piece(0, at, width(), p.len);
                if (p.stride == 0) {
                    Value rows = take(dY, List.of(back), Shape.of((int) outer, (int) p.len));
                    d[p.input] = Ops.reshape(
                            Ops.sumLeading(rows, Shape.of((int) p.len)),
                            x.shape().dims());
                } else {
                    // Elements on either side of the piece do not reach the output: their gradient is 0.
                    List<Piece> row = List.of(Piece.zeros(p.offset), back, Piece.zeros(p.stride - p.offset - p.len));
                    d[p.input] = take(dY, row, x.shape());
                }
            }
            at += p.len;
        }
        return Arrays.asList(d);
    }

    private Value take(Value dY, List<Piece> row, Shape to) {
        return dY.graph().apply(new Assemble(outer, row, to), dY).output(0);
    }

    @Override
    public Cost cost(Node n) {
        double read = 0;
        for (Piece p : pieces) if (p.input >= 0) read += p.len * (p.stride == 0 ? 1 : outer);
        return new Cost(0, read * n.output(0).dtype().bytes(), Op.bytes(n.output(0)));
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.out("y", 0).i64("outer", outer).i64("width", width());
        w.rows("rows", "n", pieces.size(), i -> {
            Piece p = pieces.get(i);
            w.inOrNone("src", p.input)
                    .i64("offset", p.offset)
                    .i64("stride", p.stride)
                    .i64("len", p.len);
        });
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        c.add(OpCase.of("slice [3, 7, 5] axis 1", 1, g -> List.of(Ops.slice(g.normal(3, 7, 5), 1, 2, 6))));
        c.add(OpCase.of("slice [9, 11] axis 0", 1, g -> List.of(Ops.slice(g.normal(9, 11), 0, 3, 4))));
        c.add(OpCase.of("slice [2, 39548] axis 1", 1, g -> List.of(Ops.slice(g.normal(2, 39548), 1, 19004, 39548))));
        c.add(OpCase.of("concat axis 0", 1, g -> List.of(Ops.concat(0, g.normal(3, 5), g.normal(4, 5)))));
        c.add(OpCase.of("concat axis 1", 1, g -> List.of(Ops.concat(1, g.normal(9, 5, 2), g.normal(9, 1, 2)))));
        c.add(OpCase.of(
                "concat of three",
                1,
                g -> List.of(Ops.concat(2, g.normal(2, 2, 3), g.normal(2, 2, 17), g.normal(2, 2, 1)))));
        c.add(OpCase.of("pad axis 1", 1, g -> List.of(Ops.pad(g.normal(11, 5), 1, 2, 3))));
        c.add(OpCase.of("insert 2 tokens", 8, g -> List.of(Ops.insert(g.normal(2, 3), g.normal(8, 4, 3), 1))));
        c.add(OpCase.of("repeat", 8, g -> List.of(Ops.repeat(5, g.normal(3, 7)))));
        c.add(OpCase.of("prepend a token", 8, g -> List.of(Ops.prepend(g.normal(1, 3), g.normal(8, 4, 3)))));
        c.add(OpCase.of(
                        "concat 2 x [64, 20544]",
                        1,
                        g -> List.of(Ops.concat(0, g.normal(64, 20544), g.normal(64, 20544))))
                .benchmark());
        return c;
    }
}
