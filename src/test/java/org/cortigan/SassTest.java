// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.BiFunction;
import java.util.stream.Stream;
import org.cortigan.Sass.Instruction;
import org.cortigan.Sass.Kernel;
import org.cortigan.Sass.Loop;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Holds the machine code of the CUDA kernels for sm_90a to budgets. An H200 issues 29.7 T lane-instructions/s and moves
 * 4.3 TB/s, so that 6.9 instructions a byte take as long as the byte. tools/sass prints the figures.
 */
class SassTest {
    private interface Budget {
        /** How the kernels' names and files begin, as in {@code normalise<bf16, 3> of layernorm.cu}. */
        String kernel();

        /** What of this kernel exceeds the budget. */
        Optional<String> excess(Kernel k);
    }

    /**
     * Instructions of the hot code for each element.
     *
     * @param elements that a pass through the hot code computes
     */
    private record AtMost(String kernel, int elements, double instructions) implements Budget {
        @Override
        public Optional<String> excess(Kernel k) {
            double n = (double) k.hot().size() / elements;
            if (n <= instructions) return Optional.empty();
            return Optional.of(String.format(
                    Locale.ROOT, "%.1f instructions an element in the hot code, at most %.1f", n, instructions));
        }
    }

    /** Loads of so many bytes in the hot code. */
    private record Loads(String kernel, int bytes, int atLeast) implements Budget {
        @Override
        public Optional<String> excess(Kernel k) {
            long n = k.hot().stream().filter(i -> i.loads() == bytes).count();
            if (n >= atLeast) return Optional.empty();
            String narrow = first(k.hot().stream().filter(i -> i.loads() > 0 && i.loads() < bytes));
            return Optional.of(n + " loads of " + bytes + " bytes in the hot code, at least " + atLeast
                    + (narrow.isEmpty() ? "" : "; narrower: " + narrow));
        }
    }

    /** Instructions of the loop that multiplies, for each of its products on tensor cores. */
    private record AProduct(String kernel, double instructions) implements Budget {
        @Override
        public Optional<String> excess(Kernel k) {
            double least = Double.POSITIVE_INFINITY;
            for (Loop l : k.loops()) {
                long products = l.own().stream().filter(Instruction::tensor).count();
                if (products > 0) least = Math.min(least, (double) l.own().size() / products);
            }
            if (least <= instructions) return Optional.empty();
            return Optional.of(String.format(
                    Locale.ROOT, "%.1f instructions a tensor-core instruction, at most %.1f", least, instructions));
        }
    }

    /**
     * Instructions of the loop with the most tensor-core instructions, for each attention score of a lane.
     *
     * @param scores of a lane that a pass through the loop computes
     */
    private record AScore(String kernel, int scores, double instructions) implements Budget {
        @Override
        public Optional<String> excess(Kernel k) {
            int size = k.loops().stream()
                    .map(Loop::own)
                    .max(Comparator.comparingLong(
                            code -> code.stream().filter(Instruction::tensor).count()))
                    .map(List::size)
                    .orElse(Integer.MAX_VALUE);
            double n = (double) size / scores;
            if (n <= instructions) return Optional.empty();
            return Optional.of(String.format(Locale.ROOT, "%.1f instructions a score, at most %.1f", n, instructions));
        }
    }

    private static final String SLICED = "sliced::sliced_product<bf16, sliced::Config<bf16, ";

    /** The hot code of the kernels that memory bounds, of attention and of sliced products. */
    private static final List<Budget> BUDGETS = List.of(
            // GELU, leaky ReLU, tanh; forward and backward. An element's bytes take as long as 27 and 41 instructions.
            new AtMost("activate<bf16, 0, false>", 8, 21),
            new AtMost("activate<bf16, 0, true>", 8, 24),
            new AtMost("activate<bf16, 1, false>", 8, 8),
            new AtMost("activate<bf16, 1, true>", 8, 10),
            new AtMost("activate<bf16, 2, false>", 8, 21),
            new AtMost("activate<bf16, 2, true>", 8, 25),
            // In f32 55 and 82; the two instructions of await_inputs are half a one of each element.
            new AtMost("activate<float, 0, false>", 4, 55.5),
            new AtMost("activate<float, 0, true>", 4, 70),
            new Loads("activate<bf16, 0, false>", 16, 1),
            new Loads("activate<bf16, 0, true>", 16, 2),
            new Loads("activate<float, 0, false>", 16, 1),
            new Loads("activate<float, 0, true>", 16, 2),
            new AtMost("drop<bf16>", 8, 25),
            new AtMost("drop<float>", 4, 30.5),
            new Loads("drop<bf16>", 16, 1),
            new Loads("drop<float>", 16, 1),
            new Loads("forward<bf16, 8> of energy", 16, 2),
            new Loads("forward<float, 4> of energy", 16, 2),
            new Loads("backward<bf16, 8> of energy", 16, 3),
            new Loads("backward<float, 4> of energy", 16, 3),
            new AtMost("forward<bf16, 8> of geglu", 8, 41),
            new AtMost("backward<bf16, 8> of geglu", 8, 69),
            new Loads("forward<bf16, 8> of geglu", 16, 2),
            new Loads("backward<bf16, 8> of geglu", 16, 3),
            new AtMost("convert<float, bf16>", 8, 4),
            new Loads("convert<float, bf16>", 16, 2),
            new Loads("convert<bf16, float>", 16, 1),
            new AtMost("combine_all<bf16, bf16, 0>", 8, 10),
            new Loads("combine_all<bf16, bf16, 1>", 16, 2),
            new AtMost("quantize_tile<bf16, ", 16, 24),
            new Loads("quantize_tile<bf16, ", 16, 2),
            new AtMost("assemble_rows<int4>", 8, 7),
            new Loads("assemble_rows<int4>", 16, 1),
            new Loads("pick<int4> of gather_rows", 16, 1),
            // Channel norm with leaky ReLU, and with swish.
            new AtMost("apply<bf16, 8, 1>", 8, 9),
            new Loads("apply<bf16, 8, 1>", 16, 1),
            new Loads("apply<bf16, 8, 3>", 16, 1),
            new Loads("statistics<bf16, 8>", 16, 8),
            // A lane has 8 C / 256 elements of a row: 8 for each of the template's vectors.
            new AtMost("normalise<bf16, 3>", 24, 23),
            new Loads("normalise<bf16, 3>", 16, 6),
            new AtMost("normalise_grad<bf16, 3, 32>", 24, 20),
            // s, dY and dSum of a row, and gamma.
            new Loads("normalise_grad<bf16, 3, 32>", 16, 15),
            // Sums for biases: four rows in flight.
            new Loads("sum_parts<bf16, 8>", 16, 4),
            // A product takes 6 clocks of the tensor cores, an instruction one of issue.
            new AProduct(SLICED + "128, 128, 32, 2, 2, 1>, sliced::Form<true, true, true, true>", 3.5),
            new AProduct(SLICED + "128, 128, 32, 2, 2, 1>, sliced::Form<false, false, true, true>", 4.7),
            // p, m, v and the gradient.
            new Loads("adam_step", 16, 4),
            new Loads("square_sums", 16, 1),
            new Loads("over_images4<bf16, 4>", 16, 4),
            new Loads("sums of spectral_norm", 16, 8),
            // The loads of K, V and dY.
            new Loads("forward_mma<64, 32>", 16, 1),
            new Loads("grad_queries<64, 16>", 16, 1),
            new Loads("grad_keys<64, 32>", 16, 1),
            new Loads("sm90::forward_wgmma<208>", 16, 1),
            new Loads("sm90::grad_wgmma", 16, 4),
            // An exp2 takes 8 clocks of a scheduler's special functions, an instruction one of issue.
            new AScore("forward_mma<48, 32>", 16, 12.5),
            new AScore("forward_mma<64, 32>", 16, 13.7),
            new AScore("forward_mma<80, 16>", 8, 19.5),
            new AScore("sm90::forward_tiled<48>", 32, 10),
            new AScore("sm90::forward_tiled<64>", 32, 10.2),
            new AScore("sm90::forward_tiled<80>", 32, 11.2),
            new AScore("sm90::grad_queries_tiled<48>", 32, 9.5),
            new AScore("sm90::grad_queries_tiled<64>", 32, 9.3),
            new AScore("sm90::grad_keys_tiled<48>", 16, 11.2),
            new AScore("sm90::grad_keys_tiled<64>", 16, 11.7),
            new Loads("sm90::forward_tiled<48>", 16, 2),
            new Loads("sm90::grad_queries_tiled<48>", 16, 2),
            new Loads("sm90::grad_keys_tiled<48>", 16, 2));

    /**
     * What no loop may have whose own code has tensor-core instructions.
     *
     * @param except parts of the names of kernels that have it nevertheless
     */
    private record Forbidden(String what, BiFunction<Kernel, Loop, List<Instruction>> found, List<String> except) {
        boolean excepts(Kernel k) {
            return except.stream().anyMatch(k.name()::contains);
        }

        List<String> in(Kernel k) {
            return k.loops().stream()
                    .filter(l -> l.own().stream().anyMatch(Instruction::tensor))
                    .map(l -> first(found.apply(k, l).stream()))
                    .filter(f -> !f.isEmpty())
                    .map(f -> message(k, what + " in a loop with tensor-core instructions: " + f))
                    .toList();
        }
    }

    private static final Forbidden DIVISION = new Forbidden(
            "integer division or conversion",
            Kernel::divisions,
            // The general convolution computes the position of every element that it loads.
            List.of("ForwardA<bf16>", "ByXA<bf16>", "ByWA<bf16>"));

    private static final Forbidden NARROW_LOAD = new Forbidden(
            "load of less than 8 bytes",
            (k, l) -> l.code().stream()
                    .filter(i -> i.loads() > 0 && i.loads() < 8)
                    .toList(),
            // The general matrix product loads element by element, so that it takes any alignment, and so do sliced
            // products where an operand's slices do not begin at multiples of 16 bytes.
            List.of(
                    "gemm::products<",
                    "Form<true, true, false,",
                    "Form<false, false, false,",
                    "Form<false, false, true, false>",
                    "Form<true, false, false,"));

    private static String first(Stream<Instruction> code) {
        List<Instruction> all = code.toList();
        return all.isEmpty() ? "" : all.get(0) + (all.size() == 1 ? "" : " and " + (all.size() - 1) + " more");
    }

    private static String message(Kernel k, String what) {
        return k + ": " + what;
    }

    /** What exceeds its budget. A budget of no kernel is a mistake in the table. */
    private static List<String> excesses(List<Budget> budgets, List<Kernel> kernels) {
        List<String> all = new ArrayList<>();
        for (Budget b : budgets) {
            List<Kernel> of = kernels.stream()
                    .filter(k -> k.toString().startsWith(b.kernel()))
                    .toList();
            if (of.isEmpty()) all.add("no kernel has the name of " + b);
            of.forEach(k -> b.excess(k).ifPresent(what -> all.add(message(k, what))));
        }
        return all;
    }

    private static List<String> locals(List<Kernel> kernels) {
        return kernels.stream()
                .filter(k -> k.code().stream().anyMatch(Instruction::local))
                .map(k -> message(k, "local memory: " + first(k.code().stream().filter(Instruction::local))))
                .toList();
    }

    /** Kernels that touch global memory before they wait for their inputs, or do not let the next kernel begin. */
    private static List<String> early(List<Kernel> kernels) {
        List<String> all = new ArrayList<>();
        for (Kernel k : kernels) {
            Optional<Instruction> first =
                    k.code().stream().filter(i -> i.global() || i.is("ACQBULK")).findFirst();
            if (first.isPresent() && !first.get().is("ACQBULK")) all.add(message(k, first.get() + " before ACQBULK"));
            if (first.isEmpty() || k.code().stream().noneMatch(i -> i.is("PREEXIT")))
                all.add(message(k, "no ACQBULK or no PREEXIT: await_inputs() is missing"));
        }
        return all;
    }

    @Test
    @Tag("slow")
    void kernelsKeepTheirBudgets() throws IOException {
        PtxasReport.read(); // aborts if the kernels were not built
        Path disassembler = Sass.disassembler().orElse(null);
        if (disassembler == null) {
            String why = "the machine code of the CUDA kernels is not checked: " + Sass.MISSING;
            System.out.println(why);
            Assumptions.abort(why);
        }
        List<Kernel> kernels = Sass.read(disassembler);
        List<String> wrong = new ArrayList<>(excesses(BUDGETS, kernels));
        wrong.addAll(locals(kernels));
        wrong.addAll(early(kernels));
        for (Forbidden f : List.of(DIVISION, NARROW_LOAD)) {
            kernels.stream().filter(k -> !f.excepts(k)).forEach(k -> wrong.addAll(f.in(k)));
            for (String e : f.except())
                if (kernels.stream()
                        .filter(k -> k.name().contains(e))
                        .allMatch(k -> f.in(k).isEmpty())) wrong.add(e + " needs no exception any more: " + f.what());
        }
        assertTrue(wrong.isEmpty(), () -> String.join("\n", wrong));
    }

    /**
     * A loop over rows whose body has a loop and a branch to code behind the exit; then a division's subroutine and
     * padding. In the form of cuobjdump, with every second line of encodings left out but one.
     */
    private static final String LISTING = """
            	code for sm_90
            		Function : kernel
            	.headerflags	@"EF_CUDA_SM90 EF_CUDA_VIRTUAL_SM(EF_CUDA_SM90)"
                    /*0000*/                   LDC R1, c[0x0][0x28] ;                   /* 0x00000a00ff017b82 */
                                                                                        /* 0x000fe20000000800 */
                    /*0010*/                   LDG.E.128 R4, desc[UR6][R2.64] ;         /* 0x0000000602047981 */
                    /*0020*/                   LDG.E.U16.CONSTANT R8, desc[UR6][R2.64] ; /* 0x0000000602047981 */
                    /*0030*/              @!P0 BRA 0xb0 ;                               /* 0x0000000800b40947 */
                    /*0040*/                   LDSM.16.M88.4 R4, [R9] ;                 /* 0x0000000800b40947 */
                    /*0050*/                   HMMA.16816.F32.BF16 R4, R8, R6, R4 ;     /* 0x0000000800b40947 */
                    /*0060*/              @P1  BRA 0x40 ;                               /* 0x0000000800b40947 */
                    /*0070*/                   STL [R1], R4 ;                           /* 0x0000000800b40947 */
                    /*0080*/                   CALL.REL.NOINC 0xd0 ;                    /* 0x0000000800b40947 */
                    /*0090*/                   BRA P2, 0x20 ;                           /* 0x0000000800b40947 */
                    /*00a0*/                   EXIT ;                                   /* 0x000000000000794d */
                    /*00b0*/                   I2F.RP R0, UR4 ;                         /* 0x0000000800b40947 */
                    /*00c0*/                   BRA 0x70 ;                               /* 0x0000000800b40947 */
                    /*00d0*/                   IMAD.HI.U32 R5, R4, R5, R6 ;             /* 0x0000000800b40947 */
                    /*00e0*/                   RET.REL.NODEC R2 0x0 ;                   /* 0x0000000800b40947 */
                    /*00f0*/                   BRA 0xf0;                                /* 0xfffffffc00fc7947 */
            """;

    private static Kernel kernel(String listing) {
        List<Kernel> all = Sass.parse("made.cu", listing.lines());
        assertEquals(1, all.size());
        return all.get(0);
    }

    private static List<Integer> addresses(List<Instruction> code) {
        return code.stream().map(Instruction::address).toList();
    }

    @Test
    void loopsFollowTheFlowOfControl() {
        Kernel k = kernel(LISTING);
        assertEquals("kernel of made.cu", k.toString());
        assertEquals(16, k.code().size());
        assertEquals("@P1 BRA 0x40 at 0x60", k.code().get(6).toString());
        assertEquals(11, k.straight().size());
        assertEquals(2, k.loops().size());
        Loop rows = k.loops().get(0), products = k.loops().get(1);
        // The code behind the exit belongs to the loop that branches to it.
        assertEquals(List.of(0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xb0, 0xc0), addresses(rows.code()));
        assertEquals(List.of(0x20, 0x30, 0x70, 0x80, 0x90, 0xb0, 0xc0), addresses(rows.own()));
        assertEquals(List.of(0x40, 0x50, 0x60), addresses(products.code()));
        assertEquals(products.code(), products.own());
        // The code outside the loops has the widest load.
        assertEquals(List.of(0x0, 0x10, 0xa0), addresses(k.hot()));
    }

    @Test
    void instructionsHaveTheirKind() {
        List<Instruction> code = kernel(LISTING).code();
        assertEquals(
                List.of(0, 16, 2, 0),
                code.stream().limit(4).map(Instruction::loads).toList());
        assertEquals(
                List.of(0x50),
                addresses(code.stream().filter(Instruction::tensor).toList()));
        assertEquals(
                List.of(0xb0, 0xd0),
                addresses(code.stream().filter(Instruction::division).toList()));
        assertEquals(
                List.of(0x70),
                addresses(code.stream().filter(Instruction::local).toList()));
    }

    @Test
    void violationsNameKernelInstructionAndLimit() {
        List<Kernel> k = List.of(kernel(LISTING));
        assertEquals(
                List.of("kernel of made.cu: 1.5 instructions an element in the hot code, at most 1.4"),
                excesses(List.of(new AtMost("kernel", 2, 1.4), new AtMost("kernel", 2, 1.5)), k));
        assertEquals(
                List.of("kernel of made.cu: 1 loads of 16 bytes in the hot code, at least 2"),
                excesses(List.of(new Loads("kernel of made", 16, 2), new Loads("kernel", 16, 1)), k));
        assertEquals(
                List.of("no kernel has the name of Loads[kernel=other, bytes=16, atLeast=1]"),
                excesses(List.of(new Loads("other", 16, 1)), k));
        assertEquals(
                List.of("kernel of made.cu: 3.0 instructions a tensor-core instruction, at most 2.9"),
                excesses(List.of(new AProduct("kernel", 2.9), new AProduct("kernel", 3)), k));
        assertEquals(List.of("kernel of made.cu: local memory: STL [R1], R4 at 0x70"), locals(k));
        assertEquals(
                List.of(
                        "kernel of made.cu: LDG.E.128 R4, desc[UR6][R2.64] at 0x10 before ACQBULK",
                        "kernel of made.cu: no ACQBULK or no PREEXIT: await_inputs() is missing"),
                early(k));
        assertEquals(List.of(), DIVISION.in(k.get(0)));
        assertEquals(
                List.of("kernel of made.cu: integer division or conversion in a loop with tensor-core instructions: "
                        + "F2I.FTZ.U32.TRUNC.NTZ R4, R9 at 0x40"),
                DIVISION.in(planted("F2I.FTZ.U32.TRUNC.NTZ R4, R9")));
        assertEquals(
                List.of("kernel of made.cu: integer division or conversion in a loop with tensor-core instructions: "
                        + "IMAD.HI.U32 R5, R4, R5, R6 at 0xd0"),
                DIVISION.in(planted("CALL.REL.NOINC 0xd0")));
        assertEquals(List.of(), NARROW_LOAD.in(planted("LDGSTS.E.BYPASS.128 [R4], desc[UR6][R2.64]")));
        assertEquals(
                List.of("kernel of made.cu: load of less than 8 bytes in a loop with tensor-core instructions: "
                        + "LDG.E.U16 R4, desc[UR6][R2.64] at 0x40"),
                NARROW_LOAD.in(planted("LDG.E.U16 R4, desc[UR6][R2.64]")));
    }

    /** The listing with another instruction in the loop of products. */
    private static Kernel planted(String instruction) {
        return kernel(LISTING.replace("LDSM.16.M88.4 R4, [R9]", instruction));
    }
}
