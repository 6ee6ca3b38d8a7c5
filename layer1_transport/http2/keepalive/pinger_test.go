package keepalive

import (
	"math"
	"testing"
	"time"
)

var start = time.Unix(1000, 0)

// A look is one call of Check and what comes of it. Times are seconds after start.
type look struct {
	at, read float64
	streams  bool
	do       Action
	next     float64 // 0: not again
}

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

// TestPinger: who pings when, and when the peer is dead.
func TestPinger(t *testing.T) {
	awake := Params{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}
	sleepy := Params{Time: 10 * time.Second, Timeout: 5 * time.Second}
	for _, tc := range []struct {
		name  string
		p     Params
		looks []look
	}{
		{"a silent peer is asked, and dead after the timeout", awake, []look{
			{0, 0, false, Wait, 10}, {9.999, 0, false, Wait, 10}, {10, 0, false, Ping, 15}, {14.999, 0, false, Wait, 15}, {15, 0, false, Dead, 0},
		}},
		{"the time counts from the last read", awake, []look{
			{0, 0, false, Wait, 10}, {10, 7, false, Wait, 17}, {17, 7, false, Ping, 22},
		}},
		{"a read in the moment of the PING is an answer", awake, []look{
			{10, 0, false, Ping, 15}, {15, 10, false, Wait, 20},
		}},
		{"a read after the PING is an answer, whatever it is", awake, []look{
			{10, 0, false, Ping, 15}, {15, 14, false, Wait, 24}, {24, 14, false, Ping, 29}, {29, 14, false, Dead, 0},
		}},
		{"an answer that is old already leads to the next PING", awake, []look{
			{10, 0, false, Ping, 15}, {21, 11, false, Ping, 26},
		}},
		{"it sleeps without streams", sleepy, []look{
			{0, 0, false, Wait, 0}, {100, 0, false, Wait, 0},
		}},
		{"the first stream after a long silence has its PING at once", sleepy, []look{
			{0, 0, false, Wait, 0}, {100, 0, true, Ping, 105}, {105, 0, true, Dead, 0},
		}},
		{"the first stream after a short silence does not", sleepy, []look{
			{0, 0, false, Wait, 0}, {9, 0, true, Wait, 10}, {10, 0, true, Ping, 15},
		}},
		{"it falls asleep when the last stream has ended", sleepy, []look{
			{0, 0, true, Wait, 10}, {10, 5, false, Wait, 0},
		}},
		{"a PING that is awaited is awaited without streams too", sleepy, []look{
			{10, 0, true, Ping, 15}, {12, 0, false, Wait, 15}, {15, 0, false, Dead, 0},
		}},
		{"answered without streams, it sleeps", sleepy, []look{
			{10, 0, true, Ping, 15}, {15, 11, false, Wait, 0},
		}},
		{"a process that has slept gives its reader a second, once", awake, []look{
			{10, 0, false, Ping, 15}, {600, 0, false, Wait, 601}, {601, 0, false, Dead, 0},
		}},
		{"the reader has used the second", awake, []look{
			{10, 0, false, Ping, 15}, {600, 0, false, Wait, 601}, {601, 600, false, Wait, 610},
		}},
		{"the second is given for each PING", awake, []look{
			{10, 0, false, Ping, 15}, {600, 0, false, Wait, 601}, {601, 600, false, Wait, 610},
			{610, 600, false, Ping, 615}, {900, 600, false, Wait, 901}, {902, 600, false, Dead, 0},
		}},
		{"a timeout longer than the time does not put off the next PING", Params{Time: 10 * time.Second, Timeout: 25 * time.Second, PermitWithoutStream: true}, []look{
			{10, 0, false, Ping, 20}, {20, 10, false, Ping, 30}, {30, 10, false, Wait, 40}, {40, 10, false, Wait, 45}, {45, 10, false, Dead, 0},
		}},
		{"off", Params{Timeout: time.Second, PermitWithoutStream: true}, []look{
			{0, 0, true, Wait, 0}, {1e6, 0, true, Wait, 0},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := NewPinger(tc.p)
			for i, l := range tc.looks {
				do, next := p.Check(at(l.at), at(l.read), l.streams)
				want := time.Time{}
				if l.next != 0 {
					want = at(l.next)
				}
				if do != l.do || !next.Equal(want) {
					t.Fatalf("look %d at %v: %v and again at %v, want %v at %v", i, l.at, do, next.Sub(start), l.do, l.next)
				}
				if asleep := tc.p.Time > 0 && l.do == Wait && l.next == 0; p.Asleep() != asleep {
					t.Errorf("look %d: asleep is %v", i, p.Asleep())
				}
			}
		})
	}
}

// TestPingConfiguration: what the values of users become.
func TestPingConfiguration(t *testing.T) {
	forever := time.Duration(math.MaxInt64)
	for _, tc := range []struct {
		name           string
		p              Params
		client, server Params
	}{
		{"nothing", Params{}, Params{Timeout: 20 * time.Second}, Params{Time: 2 * time.Hour, Timeout: 20 * time.Second, PermitWithoutStream: true}},
		{"never", Params{Time: Never}, Params{Timeout: 20 * time.Second}, Params{Timeout: 20 * time.Second, PermitWithoutStream: true}},
		{"too small", Params{Time: 1, Timeout: 1}, Params{Time: 10 * time.Second, Timeout: 10 * time.Millisecond}, Params{Time: time.Second, Timeout: 10 * time.Millisecond, PermitWithoutStream: true}},
		{"negative", Params{Time: -5, Timeout: -5}, Params{Timeout: 20 * time.Second}, Params{Timeout: 20 * time.Second, PermitWithoutStream: true}},
		{"as they are", Params{time.Minute, time.Second, true}, Params{time.Minute, time.Second, true}, Params{time.Minute, time.Second, true}},
		{"for ever", Params{Time: forever, Timeout: forever}, Params{Time: forever, Timeout: forever}, Params{Time: forever, Timeout: forever, PermitWithoutStream: true}},
	} {
		if got := tc.p.Client(); got != tc.client {
			t.Errorf("%s: a client has %+v, want %+v", tc.name, got, tc.client)
		}
		if got := tc.p.Server(); got != tc.server {
			t.Errorf("%s: a server has %+v, want %+v", tc.name, got, tc.server)
		}
	}
}

// TestDoubled: the time doubles from what was in force, and does not overflow.
func TestDoubled(t *testing.T) {
	for _, tc := range []struct{ time, want time.Duration }{
		{time.Minute, 2 * time.Minute}, {time.Second, 20 * time.Second}, {0, 0}, {Never, 0},
		{math.MaxInt64/2 + 1, math.MaxInt64}, {math.MaxInt64, math.MaxInt64},
	} {
		if got := (Params{Time: tc.time}).Doubled().Time; got != tc.want {
			t.Errorf("%v doubled is %v, want %v", tc.time, got, tc.want)
		}
	}
}

// TestAssumed: PINGs that the user has asked for are taken to be allowed.
func TestAssumed(t *testing.T) {
	for _, tc := range []struct {
		p    Params
		want EnforcementPolicy
	}{
		{Params{}, EnforcementPolicy{MinTime: 5 * time.Minute}},
		{Params{PermitWithoutStream: true}, EnforcementPolicy{MinTime: 5 * time.Minute}},
		{Params{Time: time.Minute}, EnforcementPolicy{MinTime: time.Minute}},
		{Params{Time: time.Hour, PermitWithoutStream: true}, EnforcementPolicy{5 * time.Minute, true}},
	} {
		if got := tc.p.Client().Assumed(); got != tc.want {
			t.Errorf("%+v assumes %+v, want %+v", tc.p, got, tc.want)
		}
	}
}

func (a Action) String() string {
	return [...]string{"wait", "ping", "dead"}[a]
}
