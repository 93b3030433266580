// SPDX-License-Identifier: Apache-2.0
/** Predictors for the Deep Java Library (djl.ai), whose API an application brings itself. */
@NullMarked
package org.cortigan.djl;

import org.jspecify.annotations.NullMarked;
