// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/** The learned vector of each subject in a backbone that several subjects share. */
final class SubjectVector {
    private SubjectVector() {}

    /** x [..., C] plus the subject's vector [C]; x unchanged in a model of one subject, whose name is "". */
    static Value add(Weights w, Value x, String subject) {
        return subject.isEmpty() ? x : Ops.add(x, w.vector(Generator.SUBJECT + "." + subject, Init.VIT, x.dim(-1)));
    }
}
