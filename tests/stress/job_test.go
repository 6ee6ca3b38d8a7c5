package stress

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	metadata "github.com/strata-grpc/strata/layer1_transport/metadata"
	status "github.com/strata-grpc/strata/layer1_transport/status"
)

// A deed is what a handler does once in its call, besides serving it.
type deed int

// The deeds.
const (
	serves        deed = iota // nothing
	panics                    // ends with a panic
	exits                     // ends its goroutine
	refuses                   // returns a status
	errs                      // returns an error that is no status
	disowns                   // says that it is not implemented
	naps                      // takes some time, but not more than the call has
	oversleeps                // sleeps, and does not care for the deadline
	sendsHeaders              // sends headers before they are due
	delaysHeaders             // sends headers after a while
	deeds                     // how many there are
)

// code returns what a deed ends the call with, OK if it lets it go on.
func (d deed) code() status.Code {
	switch d {
	case panics, exits:
		return status.Internal
	case refuses:
		return status.NotFound
	case errs:
		return status.Unknown
	case disowns:
		return status.Unimplemented
	default:
		return status.OK
	}
}

// says returns what the text of such an end has in it: that of another one with
// the same code has not.
func (d deed) says(caller string) string {
	switch d {
	case panics:
		return "panicked"
	case exits:
		return "ended its goroutine"
	default:
		return caller
	}
}

// anyDeed draws a deed. Half of all calls are simply served.
func anyDeed() deed {
	if rand.IntN(2) == 0 {
		return serves
	}
	return deed(rand.IntN(int(deeds)))
}

// A job is what a caller tells a handler, in metadata.
type job struct {
	caller string
	do     deed
	at     int // the number of the message before which do is done
	count  int // how many messages the caller sends before it half-closes
}

// Keys of metadata. The first one is that of headers and trailers, too.
const (
	keyCaller = "stress-caller"
	keyDo     = "stress-do"
	keyAt     = "stress-at"
	keyCount  = "stress-count"
)

// with returns ctx with j as its outgoing metadata.
func (j job) with(ctx context.Context) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(
		keyCaller, j.caller, keyDo, strconv.Itoa(int(j.do)), keyAt, strconv.Itoa(j.at), keyCount, strconv.Itoa(j.count)))
}

// jobOf returns the job of the call that a handler's ctx belongs to.
func jobOf(ctx context.Context) (job, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	var j job
	var do int
	for _, field := range []struct {
		key string
		set func(string) error
	}{
		{keyCaller, func(s string) error { j.caller = s; return nil }},
		{keyDo, func(s string) (err error) { do, err = strconv.Atoi(s); return err }},
		{keyAt, func(s string) (err error) { j.at, err = strconv.Atoi(s); return err }},
		{keyCount, func(s string) (err error) { j.count, err = strconv.Atoi(s); return err }},
	} {
		values := md.Get(field.key)
		if len(values) != 1 {
			return job{}, fmt.Errorf("%s is %q, want one value", field.key, values)
		}
		if err := field.set(values[0]); err != nil {
			return job{}, fmt.Errorf("%s: %w", field.key, err)
		}
	}
	j.do = deed(do)
	return j, nil
}

// body returns the n-th message of a direction of caller's call: its name and
// number, again and again for size more bytes.
func body(caller string, n, size int) []byte {
	name := fmt.Appendf(nil, "%s#%d:", caller, n)
	return bytes.Repeat(name, 2+size/len(name))[:len(name)+size]
}

// anySize draws a size: mostly small, sometimes more than a frame, rarely more
// than the windows of HTTP/2.
func anySize() int {
	switch n := rand.IntN(100); {
	case n == 0:
		return rand.IntN(1 << 20)
	case n < 25:
		return rand.IntN(30_000)
	default:
		return rand.IntN(1_000)
	}
}
