// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.graph.Value;

/**
 * The logits of all regions' discriminators: a ragged batch, region after region [R, m].
 *
 * @param perRow m of every region, the logits of one row
 */
public record Logits(Value value, List<Integer> perRow) {}
