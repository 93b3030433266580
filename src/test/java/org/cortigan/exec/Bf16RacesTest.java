// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import org.cortigan.graph.DType;
import org.junit.jupiter.api.Tag;

/** The kernels in bfloat16 have no races. */
@Tag("races")
class Bf16RacesTest extends KernelRaces {
    Bf16RacesTest() {
        super(DType.BF16);
    }
}
