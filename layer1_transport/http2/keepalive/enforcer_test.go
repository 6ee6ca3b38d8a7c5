package keepalive

import (
	"math/rand/v2"
	"testing"
	"time"
)

// An arrival is a PING after some time, with or without streams.
type arrival struct {
	after   time.Duration
	streams bool
	excuse  bool // before it
	tooMany bool
}

// TestPingAbusePolicy: which PINGs a server forgives.
func TestPingAbusePolicy(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	for _, tc := range []struct {
		name   string
		policy EnforcementPolicy
		pings  []arrival
	}{
		{"the first is free, two are forgiven", EnforcementPolicy{}, []arrival{
			{0, true, false, false}, {0, true, false, false}, {0, true, false, false}, {0, true, false, true},
		}},
		{"in time with streams", EnforcementPolicy{}, []arrival{
			{0, true, false, false}, {5 * m, true, false, false}, {5 * m, true, false, false}, {5 * m, true, false, false}, {5 * m, true, false, false},
		}},
		{"in time for streams, without any", EnforcementPolicy{}, []arrival{
			{0, false, false, false}, {5 * m, false, false, false}, {5 * m, false, false, false}, {5 * m, false, false, true},
		}},
		{"in time without streams", EnforcementPolicy{}, []arrival{
			{0, false, false, false}, {2 * h, false, false, false}, {2 * h, false, false, false}, {2 * h, false, false, false},
		}},
		{"permitted without streams", EnforcementPolicy{MinTime: s, PermitWithoutStream: true}, []arrival{
			{0, false, false, false}, {s, false, false, false}, {s, false, false, false}, {s, false, false, false},
		}},
		{"strikes stay when others come in time", EnforcementPolicy{MinTime: s}, []arrival{
			{0, true, false, false}, {0, true, false, false}, {s, true, false, false}, {0, true, false, false}, {s, true, false, false}, {s - 1, true, false, true},
		}},
		{"an excuse frees one and forgets the strikes", EnforcementPolicy{}, []arrival{
			{0, true, false, false}, {0, true, false, false}, {0, true, false, false},
			{0, true, true, false}, {0, true, false, false}, {0, true, false, false}, {0, true, false, true},
		}},
		{"an excuse for each", EnforcementPolicy{}, []arrival{
			{0, false, true, false}, {0, false, true, false}, {0, false, true, false}, {0, false, true, false}, {0, false, true, false},
		}},
		{"no least time with streams", EnforcementPolicy{MinTime: -1}, []arrival{
			{0, true, false, false}, {0, true, false, false}, {0, true, false, false}, {0, true, false, false},
			{0, false, false, false}, {0, false, false, false}, {0, false, false, true},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, now := NewEnforcer(tc.policy), start
			for i, p := range tc.pings {
				now = now.Add(p.after)
				if p.excuse {
					e.Excuse()
				}
				if got := e.Ping(now, p.streams); got != p.tooMany {
					t.Fatalf("PING %d is too many: %v", i+1, got)
				}
			}
		})
	}
}

// TestPingRatePolicy: a client knows what it may still send.
func TestPingRatePolicy(t *testing.T) {
	e := NewEnforcer(Params{}.Client().Assumed())
	spare := func(want bool, when string) {
		t.Helper()
		if got := e.Spare(start, true); got != want {
			t.Errorf("%s: there is one to spare: %v", when, got)
		}
	}
	spare(true, "at the start")
	e.Ping(start, true)
	spare(true, "after one")
	e.Ping(start, true)
	spare(false, "after two without an excuse")
	if !e.Spare(start.Add(5*time.Minute), true) || e.Spare(start.Add(5*time.Minute), false) {
		t.Error("after five minutes there is one, with streams")
	}
	e.Excuse()
	spare(true, "after an excuse")
	e.Ping(start, true)
	spare(true, "after the one that was excused")
}

// TestClientsThatCountAreNotPunished plays random conversations between a
// client that pings when Spare says so and a server with the policy that it
// assumes. Frames keep their order in each direction, as on a connection.
func TestClientsThatCountAreNotPunished(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		policy := Params{}.Client().Assumed()
		client, server := NewEnforcer(policy), NewEnforcer(policy)
		now := start
		toServer, toClient := 0, []bool(nil) // PINGs; answers (true) and DATA
		awaited, sent := 0, 0
		for range 300 {
			switch r.IntN(6) {
			case 0, 1: // the client wants to ping
				if client.Spare(now, true) {
					client.Ping(now, true)
					toServer++
					awaited++
					sent++
				}
			case 2: // a PING arrives
				if toServer > 0 {
					toServer--
					if server.Ping(now, true) {
						t.Fatalf("seed %d: the server has had enough after %d PINGs", seed, sent)
					}
					toClient = append(toClient, true)
				}
			case 3: // the server sends DATA
				server.Excuse()
				toClient = append(toClient, false)
			case 4: // something arrives at the client
				if len(toClient) == 0 {
					continue
				}
				if answer := toClient[0]; answer {
					awaited--
				} else if awaited == 0 {
					client.Excuse()
				}
				toClient = toClient[1:]
			case 5:
				if toServer == 0 { // a PING that is on its way longer than others is not this test's
					now = now.Add(time.Duration(r.IntN(100)) * time.Second)
				}
			}
		}
		if sent < 5 {
			t.Fatalf("seed %d: the client has sent %d PINGs; this tests nothing", seed, sent)
		}
	}
}
