package main

import (
	"runtime"
	"syscall"
	"time"
)

// A usage is what a process has used up since it began, or in an interval.
type usage struct {
	CPU    time.Duration // user and system time
	Allocs uint64        // objects
	Bytes  uint64        // of those objects
}

// currentUsage collects the garbage of earlier runs first, so that the next
// interval does not pay for it.
func currentUsage() usage {
	runtime.GC()
	return usageNow()
}

// usageNow is for the end of an interval.
func usageNow() usage {
	cpu := processTime()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{CPU: cpu, Allocs: m.Mallocs, Bytes: m.TotalAlloc}
}

// processTime is the CPU time of all threads; 0 where it is not known.
func processTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// minus returns what was used since before.
func (u usage) minus(before usage) usage {
	return usage{CPU: u.CPU - before.CPU, Allocs: u.Allocs - before.Allocs, Bytes: u.Bytes - before.Bytes}
}

// perCall divides by the number of calls.
func (u usage) perCall(calls int64) side {
	n := float64(calls)
	return side{CPU: micros(u.CPU) / n, Allocs: float64(u.Allocs) / n, Bytes: float64(u.Bytes) / n}
}
