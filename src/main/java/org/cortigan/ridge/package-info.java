// SPDX-License-Identifier: Apache-2.0
/** Ridge regression with cross-validated penalties, plain and banded: the field's linear yardstick. */
@NullMarked
package org.cortigan.ridge;

import org.jspecify.annotations.NullMarked;
