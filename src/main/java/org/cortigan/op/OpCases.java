// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;

/** All cases of all ops; a new op adds its line here. */
public final class OpCases {
    private OpCases() {}

    public static List<OpCase> all() {
        List<OpCase> all = new ArrayList<>();
        all.addAll(Matmul.cases());
        all.addAll(LayerNorm.cases());
        all.addAll(Activation.cases());
        all.addAll(Reshape.cases());
        all.addAll(Binary.cases());
        all.addAll(SumLeading.cases());
        all.addAll(SpectralNorm.cases());
        all.addAll(PearsonLoss.cases());
        all.addAll(GanLoss.cases());
        all.addAll(GradNorm.cases());
        all.addAll(Adam.cases());
        all.addAll(Assemble.cases());
        all.addAll(Attention.cases());
        all.addAll(Patchify.cases());
        all.addAll(Cast.cases());
        all.addAll(MeanMiddle.cases());
        all.addAll(Conv2d.cases());
        all.addAll(GatherRows.cases());
        all.addAll(SwapLeading.cases());
        all.addAll(GatherGroups.cases());
        all.addAll(ChannelNorm.cases());
        all.addAll(ChannelAffine.cases());
        all.addAll(TrackStatistics.cases());
        all.addAll(GroupedMatmul.cases());
        all.addAll(GroupedConv1d.cases());
        all.addAll(LayerChoice.cases());
        all.addAll(Readout.cases());
        all.addAll(PositionReadout.cases());
        all.addAll(PearsonMoments.cases());
        return all;
    }
}
