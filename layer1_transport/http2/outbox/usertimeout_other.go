//go:build !linux

package outbox

import "time"

func setUserTimeout(uintptr, time.Duration) {}
