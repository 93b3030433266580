// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.graph.DType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Writes kernel arguments by name; checks where they are written and what is refused. */
class KernelsTest {
    private enum Size {
        SMALL,
        LARGE
    }

    private enum BinaryOp {
        MUL,
        AXPBY,
        ADD
    }

    @BeforeAll
    static void load() {
        NativeLoader.load();
    }

    @Test
    void argumentsAreWrittenAtTheLibrarysOffsets() {
        ByteBuffer b = ByteBuffer.allocate(200).order(ByteOrder.LITTLE_ENDIAN);
        ArgBuffer w = new ArgBuffer("assemble", b, 4096);
        w.i64("outer", 7)
                .output("y", 5)
                .rows(
                        "rows",
                        "n",
                        2,
                        i -> w.input("src", 10 + i)
                                .i64("len", 20 + i)
                                .i64("offset", 30 + i)
                                .i64("stride", 40 + i));
        w.i64("width", 9).finish();
        ArgStruct s = Kernels.args("assemble"), row = s.rows("rows");
        assertEquals(s.bytes() + 2 * row.bytes(), w.bytes());
        assertEquals(5, b.getLong(s.offset("y")));
        assertEquals(7, b.getLong(s.offset("outer")));
        assertEquals(9, b.getLong(s.offset("width")));
        assertEquals(4096 + s.bytes(), b.getLong(s.offset("rows")));
        assertEquals(2, b.getLong(s.offset("n")));
        for (int i = 0; i < 2; i++) {
            int at = s.bytes() + i * row.bytes();
            assertEquals(10 + i, b.getLong(at + row.offset("src")));
            assertEquals(20 + i, b.getLong(at + row.offset("len")));
            assertEquals(30 + i, b.getLong(at + row.offset("offset")));
            assertEquals(40 + i, b.getLong(at + row.offset("stride")));
        }
    }

    @Test
    void constantsAreWrittenByName() {
        for (BinaryOp op : BinaryOp.values()) {
            ByteBuffer b = ByteBuffer.allocate(100).order(ByteOrder.LITTLE_ENDIAN);
            new ArgBuffer("binary", b, 0).choice("op", op).choice("type_b", "BF16");
            ArgStruct s = Kernels.args("binary");
            assertEquals(
                    Map.of(BinaryOp.ADD, 0L, BinaryOp.MUL, 1L, BinaryOp.AXPBY, 2L)
                            .get(op),
                    b.getLong(s.offset("op")));
            assertEquals(DType.BF16.variant(), b.getLong(s.offset("type_b")));
        }
    }

    @Test
    void typesHaveTheLibrarysNumbers() {
        for (DType t : DType.values())
            if (t.isFloat()) assertEquals(Kernels.Variant.valueOf(t.name()).ordinal(), t.variant());
    }

    @Test
    void anUnknownArgumentIsRefused() {
        drifted(w -> w.i64("len", 1), "kernel 'cast'", "no argument 'len'", "x, y, n, type_y");
        assertThrows(InputException.class, () -> Kernels.args("cast").offset("len"));
        assertThrows(InputException.class, () -> Kernels.args("cast").rows("x"));
        assertThrows(InputException.class, () -> Kernels.args("levitate"));
    }

    @Test
    void anArgumentOfAnotherKindIsRefused() {
        drifted(w -> w.f64("n", 1), "kernel 'cast'", "'n' is an integer");
        drifted(w -> w.i64("x", 1), "'x' is the address of an input");
        drifted(w -> w.output("x", 1), "'x' is the address of an input");
        drifted(w -> w.none("n"), "'n' is an integer");
        drifted(w -> w.i64("type_y", 1), "'type_y' is a constant of an enum");
        drifted(w -> w.rows("x", "n", 1, i -> {}), "'x' is the address of an input");
    }

    @Test
    void anEnumWithOtherConstantsIsRefused() {
        drifted(w -> w.choice("type_y", "F8"), "'type_y' takes [F64, F32, BF16] in the native library and F8 in Java");
        drifted(w -> w.choice("type_y", Size.SMALL), "SMALL", "LARGE");
    }

    @Test
    void anArgumentWrittenTwiceIsRefused() {
        Exception e = assertThrows(
                IllegalStateException.class, () -> buffer().i64("n", 1).i64("n", 1));
        says(e, "kernel 'cast'", "'n' is written twice");
    }

    @Test
    void aForgottenArgumentIsRefused() {
        ArgBuffer w = buffer().input("x", 1).output("y", 1).i64("n", 1);
        says(assertThrows(IllegalStateException.class, w::finish), "kernel 'cast'", "'type_y' is not written");
        ArgBuffer rows = new ArgBuffer("assemble", null, 0);
        Exception e = assertThrows(
                IllegalStateException.class,
                () -> rows.rows("rows", "n", 2, i -> rows.none("src").i64("offset", 0)));
        says(e, "kernel 'assemble', row 0 of 'rows'", "'stride' is not written");
    }

    @Test
    void aLibraryWithOtherConstantsIsRefused() {
        Schema s = Schema.parse("enum Size LARGE SMALL\nstruct Args x:const* size:Size\nkernel k Args\n");
        says(
                assertThrows(InputException.class, () -> s.requireConstants("Size", Size.values())),
                "enum Size",
                "[LARGE, SMALL]",
                "different builds");
        assertThrows(InputException.class, () -> s.requireConstants("Colour", Size.values()));
        Schema.parse("enum Size SMALL LARGE\n").requireConstants("Size", Size.values());
    }

    @Test
    void aSchemaOfAnotherFormIsRefused() {
        assertThrows(InputException.class, () -> Schema.parse("union U a b\n"));
        assertThrows(InputException.class, () -> Schema.parse("struct Args x:float\n"));
    }

    @Test
    void aLibraryOfAnotherBuildIsRefused() {
        Path beside = Path.of(System.getProperty("cortigan.sim", "target/native/libcortigan_sim.so"))
                .toAbsolutePath();
        Exception e = assertThrows(
                RuntimeException.class,
                () -> Native.load_backend(
                        Backend.SIM.number(),
                        beside.resolveSibling("libcortigan_drifted.so").toString()));
        says(e, "is from another build", "enum Backend REFERENCE SIM", "enum Backend REFERENCE PORTABLE");
    }

    private static ArgBuffer buffer() {
        return new ArgBuffer("cast", null, 0);
    }

    private static void drifted(Consumer<ArgBuffer> write, String... texts) {
        InputException e = assertThrows(InputException.class, () -> write.accept(buffer()));
        says(e, texts);
        says(e, "Library and jar are of different builds");
    }

    private static void says(Exception e, String... texts) {
        for (String t : texts) assertTrue(e.getMessage().contains(t), e.getMessage() + " lacks: " + t);
    }
}
