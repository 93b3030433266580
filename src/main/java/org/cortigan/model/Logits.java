// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.graph.Value;

/**
 * What the discriminators of all regions say: a ragged batch, region after region [R, m].
 *
 * @param perRow m of every region
 */
public record Logits(Value value, List<Integer> perRow) {}
