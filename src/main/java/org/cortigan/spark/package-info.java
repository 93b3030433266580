// SPDX-License-Identifier: Apache-2.0
/**
 * Predictions and tables on a cluster of Apache Spark 4. Spark provides its own classes, and the application puts them
 * and this jar on the class path; the module {@code org.cortigan} does not export this package, because Spark's jars
 * are no modules. Nothing else uses it.
 */
@NullMarked
package org.cortigan.spark;

import org.jspecify.annotations.NullMarked;
