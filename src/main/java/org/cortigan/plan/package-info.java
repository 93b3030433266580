// SPDX-License-Identifier: Apache-2.0
/**
 * Plans a graph before it runs: the order of its nodes, what shares storage, and where every tensor lies. It uses
 * graphs and ops, and knows no device.
 */
package org.cortigan.plan;
