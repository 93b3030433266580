// SPDX-License-Identifier: Apache-2.0
package org.cortigan.jni;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Reads files in the forms that the kernel writes, in a folder instead of the root. */
class HostMemoryTest {
    private static final long MIB = 1 << 20, GIB = 1 << 30;

    @TempDir
    Path root;

    private void file(String name, String text) throws IOException {
        Path p = root.resolve(name);
        Files.createDirectories(p.getParent());
        Files.writeString(p, text + "\n");
    }

    private void machine(String cgroup) throws IOException {
        file("proc/meminfo", "MemTotal:  8388608 kB\nMemFree: 1 kB\nMemAvailable: 6291456 kB\nSwapTotal: 1048576 kB");
        file("proc/self/status", "Name:\tjava\nRssAnon:\t   102400 kB\nRssFile: 7 kB\nVmSwap:\t 0 kB");
        file("proc/self/cgroup", cgroup);
    }

    private void check(long limit, long available, String source) {
        assertEquals(
                new HostMemory(limit, limit - 100 * MIB, available, source), HostMemory.read(root), root.toString());
    }

    @Test
    void withoutControlGroupsItIsTheMachines() throws IOException {
        machine("");
        check(9 * GIB, 6 * GIB, "/proc/meminfo");
    }

    @Test
    void theLeastLimitOfAGroupAndItsParentsCounts() throws IOException {
        machine("0::/job/step/task");
        String group = "sys/fs/cgroup/job/step/task/";
        file(group + "memory.max", "max");
        file("sys/fs/cgroup/job/step/memory.max", "" + 4 * GIB);
        file("sys/fs/cgroup/job/memory.max", "" + 2 * GIB);
        file("sys/fs/cgroup/job/memory.swap.max", "0");
        file("sys/fs/cgroup/job/memory.current", "" + GIB);
        file("sys/fs/cgroup/job/memory.stat", "anon 5\nactive_file " + 256 * MIB + "\ninactive_file " + 512 * MIB);
        // 1 GiB is used, but 768 MiB of that are pages of files
        check(2 * GIB, 2 * GIB - 256 * MIB, "/sys/fs/cgroup/job/memory.max");
        file("sys/fs/cgroup/job/memory.swap.max", "max");
        check(3 * GIB, 2 * GIB - 256 * MIB, "/sys/fs/cgroup/job/memory.max");
    }

    /** A container may see the host's path of its group, but only its own folder. */
    @Test
    void inAContainerTheRootIsTheGroup() throws IOException {
        machine("12:cpu:/x\n4:cpuset,memory:/docker/0123\n0::/docker/0123");
        file("sys/fs/cgroup/memory/memory.limit_in_bytes", "" + GIB);
        file("sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "" + (GIB + 5));
        file("sys/fs/cgroup/memory/memory.usage_in_bytes", "" + 300 * MIB);
        file("sys/fs/cgroup/memory/memory.stat", "total_active_file 0\ntotal_inactive_file " + 100 * MIB);
        check(GIB + 5, GIB - 200 * MIB, "/sys/fs/cgroup/memory/memory.limit_in_bytes");
        machine("4:memory:/../../outside");
        check(GIB + 5, GIB - 200 * MIB, "/sys/fs/cgroup/memory/memory.limit_in_bytes");
        file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712"); // none
        check(9 * GIB, 6 * GIB, "/proc/meminfo");
    }

    @Test
    void whatCannotBeToldIsUnlimited() {
        assertEquals(Long.MAX_VALUE, HostMemory.read(root).free());
        assertEquals(Long.MAX_VALUE, HostMemory.read(root).available());
    }

    @Test
    void thisProcessHasMemory() {
        HostMemory here = HostMemory.now();
        assertTrue(here.free() > 0 && here.free() < here.limit(), here.toString());
    }
}
