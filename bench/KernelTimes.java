import java.util.Arrays;
import java.util.SplittableRandom;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Storage;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Value;
import org.cortigan.op.OpCase;
import org.cortigan.op.OpCases;
import org.cortigan.op.Sketch;

/** Least time of 60 runs of every node in the benchmark cases whose name starts with an argument, f32, all cores. */
public class KernelTimes {
    public static void main(String[] prefixes) {
        CpuDevice cpu = CpuDevice.best(0);
        System.out.println(cpu.name());
        for (OpCase c : OpCases.all()) {
            if (!c.bench() || Arrays.stream(prefixes).noneMatch(c.name()::startsWith)) continue;
            Sketch s = new Sketch(DType.F32);
            int k = 0;
            for (Value v : c.body().apply(s)) s.graph().output("y" + k++, v);
            try (Variables vars = new Variables(cpu);
                    Session session = new Session(s.graph(), cpu, vars)) {
                s.data().forEach((name, fill) -> {
                    Storage x = session.hasInput(name) ? session.input(name) : vars.find(name);
                    x.write(fill.apply(new SplittableRandom(1)));
                });
                long[] best = new long[session.launched().length];
                Arrays.fill(best, Long.MAX_VALUE);
                for (int i = 0; i < 60; i++) {
                    long[] t = new long[best.length];
                    session.runTimed(t, null);
                    for (int j = 0; j < t.length; j++) best[j] = Math.min(best[j], t[j]);
                }
                for (int j = 0; j < best.length; j++)
                    System.out.printf("%s: %s %.3f ms%n", c.name(), session.launched()[j].op().name(), best[j] / 1e6);
            }
        }
    }
}
