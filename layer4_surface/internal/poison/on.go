//go:build strata_poison

package poison

// On says whether released memory is filled.
const On = true
