// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The memory that this process may have, in bytes. The kernel kills a process that exceeds the limit of its control
 * group (a container, a job of a cluster), without a message. Files: proc(5), the kernel's cgroup-v2.rst and
 * cgroup-v1/memory.rst. What they do not tell is unlimited.
 *
 * @param limit RAM and swap space in all: the least limit of the machine, the process's control group and its parents
 * @param free what is left of the limit beside this process's own memory; other processes may end, and files in the
 *     page cache give way
 * @param available what may be taken now without swapping or harm to other processes
 * @param source the file that has the limit
 */
public record HostMemory(long limit, long free, long available, String source) {
    private static final long UNLIMITED = Long.MAX_VALUE;

    /** The memory at this moment. */
    public static HostMemory now() {
        return read(Path.of("/"));
    }

    /** The limit and where it is set, for messages. */
    public String allowance() {
        return "the " + limit + " bytes that " + source + " allows";
    }

    /** @param root folder that has proc and sys */
    static HostMemory read(Path root) {
        Map<String, Long> machine = numbers(root.resolve("proc/meminfo"));
        long swap = kib(machine, "SwapTotal:", 0), available = kib(machine, "MemAvailable:", UNLIMITED);
        long limit = sum(kib(machine, "MemTotal:", UNLIMITED), swap);
        String source = "/proc/meminfo";
        for (Path group : groups(root)) {
            boolean v2 = Files.exists(group.resolve("memory.max"));
            Path file = group.resolve(v2 ? "memory.max" : "memory.limit_in_bytes");
            long most = number(file), both;
            if (most == UNLIMITED) continue;
            if (v2) both = sum(most, Math.min(swap, number(group.resolve("memory.swap.max"))));
            else both = Math.min(sum(most, swap), number(group.resolve("memory.memsw.limit_in_bytes")));
            if (both < limit) {
                limit = both;
                source = "/" + root.relativize(file);
            }
            Map<String, Long> use = numbers(group.resolve("memory.stat"));
            long used = number(group.resolve(v2 ? "memory.current" : "memory.usage_in_bytes"));
            for (String list : List.of("active_file", "inactive_file"))
                used -= use.getOrDefault((v2 ? "" : "total_") + list, 0L);
            if (used >= 0 && used < UNLIMITED) available = Math.min(available, Math.max(0, most - used));
        }
        Map<String, Long> process = numbers(root.resolve("proc/self/status"));
        long own = kib(process, "RssAnon:", 0) + kib(process, "VmSwap:", 0);
        long free = limit == UNLIMITED ? UNLIMITED : Math.max(0, limit - own);
        return new HostMemory(limit, free, Math.min(free, available), source);
    }

    /** The folders of this process's control groups that limit memory, from the inmost to the root. */
    private static List<Path> groups(Path root) {
        List<Path> all = new ArrayList<>();
        for (String line : lines(root.resolve("proc/self/cgroup"))) {
            String[] fields = line.split(":", 3);
            if (fields.length < 3) continue;
            boolean v2 = fields[1].isEmpty();
            if (!v2 && !Arrays.asList(fields[1].split(",")).contains("memory")) continue;
            Path top = root.resolve(v2 ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
            Path group = top.resolve(fields[2].replaceFirst("^/+", "")).normalize();
            // In a container the path may be one of the host, which does not exist here: its root is then the group.
            if (!group.startsWith(top)) group = top;
            for (Path g = group; g != null && g.startsWith(top); g = g.getParent()) all.add(g);
        }
        return all;
    }

    private static long sum(long a, long b) {
        return a > UNLIMITED - b ? UNLIMITED : a + b;
    }

    private static long kib(Map<String, Long> numbers, String key, long otherwise) {
        Long n = numbers.get(key);
        return n == null ? otherwise : n * 1024;
    }

    /** The number that a file consists of. */
    private static long number(Path file) {
        List<String> lines = lines(file);
        return lines.isEmpty() ? UNLIMITED : number(lines.get(0).strip());
    }

    private static long number(String text) {
        return text.matches("[0-9]{1,18}") ? Long.parseLong(text) : UNLIMITED;
    }

    /** The numbers of a file with a key and a number in each line. */
    private static Map<String, Long> numbers(Path file) {
        Map<String, Long> all = new HashMap<>();
        for (String line : lines(file)) {
            String[] words = line.split("\\s+");
            if (words.length > 1 && number(words[1]) < UNLIMITED) all.put(words[0], number(words[1]));
        }
        return all;
    }

    private static List<String> lines(Path file) {
        try {
            return Files.readAllLines(file, StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            return List.of();
        }
    }
}
