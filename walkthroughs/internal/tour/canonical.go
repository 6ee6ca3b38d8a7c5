package tour

import (
	"cmp"
	"slices"
	"strings"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// Canonical returns the events of a record in an order, and with numbers, that
// are the same from run to run: each lane in its own order, each event after its
// cause, and where both leave it open, what lets one goroutine go on for as long
// as it can. Times are left out, since what stands on one line here may have
// happened at once.
//
// What goroutines are for, which a lane says, and a cause that is not among the
// records are left out too. What a block does when its last reference goes stands
// in a lane of its own, as any goroutine may be the one.
func Canonical(records []trace.Record) []trace.Record {
	records = slices.Clone(records)
	records = slices.DeleteFunc(records, func(r trace.Record) bool { return r.Op == trace.OpRole || r.Op == opScene })
	for i := range records {
		if records[i].Op == "element.destroy" {
			records[i].Lane = laneRecycled
		}
	}
	joinSockets(records)
	renumber(records)
	lanes, names := byLane(records)
	number := map[trace.EventID]trace.EventID{} // old to new
	present := map[trace.EventID]bool{}
	for i := range records {
		present[records[i].ID] = true
	}
	out := make([]trace.Record, 0, len(records))
	ready := func(r *trace.Record) bool {
		return r.Cause == 0 || !present[r.Cause] || number[r.Cause] != 0
	}
	for len(out) < len(records) {
		moved := false
		for _, name := range names {
			for len(lanes[name]) > 0 && ready(&lanes[name][0]) {
				r := lanes[name][0]
				lanes[name] = lanes[name][1:]
				number[r.ID] = trace.EventID(len(out) + 1)
				r.ID, r.Cause, r.Elapsed = number[r.ID], number[r.Cause], 0
				out = append(out, r)
				moved = true
			}
			if moved {
				break // the first lane that can go on does
			}
		}
		if !moved {
			panic("tour: events wait for each other: a cause is later than its event")
		}
	}
	return out
}

// joinSockets gives what happens at a socket its cause, which the library cannot
// know: a write carries the batches of its end that were not carried before, and a
// read takes what the other end has written. There is one connection.
func joinSockets(records []trace.Record) {
	type carried struct {
		event trace.EventID
		upTo  int // bytes of this end so far
	}
	batches, writes := map[string][]carried{}, map[string][]carried{}
	total := map[[2]string]int{}
	add := func(r *trace.Record) carried {
		key := [2]string{r.Endpoint, r.Op}
		total[key] += r.Size
		return carried{r.ID, total[key]}
	}
	covering := func(list []carried, n int) trace.EventID {
		for _, c := range list {
			if c.upTo >= n {
				return c.event
			}
		}
		return 0
	}
	for i := range records {
		switch r := &records[i]; r.Op {
		case "writer.batch":
			batches[r.Endpoint] = append(batches[r.Endpoint], add(r))
		case "write":
			writes[r.Endpoint] = append(writes[r.Endpoint], add(r))
		}
	}
	for i := range records {
		r := &records[i]
		switch {
		case r.Layer != 0:
		case r.Op == "write":
			j := slices.IndexFunc(writes[r.Endpoint], func(c carried) bool { return c.event == r.ID })
			r.Cause = covering(batches[r.Endpoint], writes[r.Endpoint][j].upTo)
		case r.Op == "read":
			other := Client
			if r.Endpoint == Client {
				other = Server
			}
			r.Cause = covering(writes[other], add(r).upTo)
		}
	}
}

// renumber counts connections and calls from 1 at each end: a process has others.
func renumber(records []trace.Record) {
	type object struct {
		endpoint string
		number   uint64
	}
	seen := func(of map[object]uint64, last map[string]uint64, endpoint string, n *uint64) {
		if *n == 0 {
			return
		}
		o := object{endpoint, *n}
		if of[o] == 0 {
			last[endpoint]++
			of[o] = last[endpoint]
		}
		*n = of[o]
	}
	conns, lastConn := map[object]uint64{}, map[string]uint64{}
	calls, lastCall := map[object]uint64{}, map[string]uint64{}
	for i := range records {
		r := &records[i]
		seen(conns, lastConn, r.Endpoint, &r.Conn)
		seen(calls, lastCall, r.Endpoint, &r.Call)
	}
}

// laneRecycled is the lane of what happens when the last reference goes.
const laneRecycled = "whoever drops the last reference"

// byLane sorts the events into lanes, whose names it returns: that of the first
// event first, those of recycling last, the others in the order of the alphabet.
func byLane(records []trace.Record) (lanes map[string][]trace.Record, names []string) {
	lanes = map[string][]trace.Record{}
	for _, r := range records {
		name := r.Endpoint + " " + r.Lane
		if _, known := lanes[name]; !known {
			names = append(names, name)
		}
		lanes[name] = append(lanes[name], r)
	}
	if len(names) > 1 {
		slices.SortFunc(names[1:], func(a, b string) int {
			late := func(s string) int {
				if strings.HasSuffix(s, " "+laneRecycled) {
					return 1
				}
				return 0
			}
			return cmp.Or(cmp.Compare(late(a), late(b)), cmp.Compare(a, b))
		})
	}
	return lanes, names
}
