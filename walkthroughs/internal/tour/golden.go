package tour

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// Golden returns the form of a record that is the same from run to run: what
// each goroutine did, in its order, and for each event the event that caused
// it. How goroutines take turns differs, and so do times, sizes of reads and
// writes, and numbers of events; none of that is in it. What a block does when
// its last reference goes stands in a lane of its own.
func Golden(records []trace.Record) string {
	lanes := map[string][]trace.Record{}
	place := map[trace.EventID]string{}
	for _, r := range records {
		if r.Op == trace.OpRole || r.Layer == 0 || r.Op == "writer.batch" || r.Op == opScene {
			continue
		}
		lane := strings.TrimSpace(r.Endpoint + " " + r.Lane)
		if r.Op == "element.destroy" {
			lane = r.Endpoint + " " + laneRecycled
		}
		place[r.ID] = fmt.Sprintf("%s/%d", lane, len(lanes[lane])+1)
		lanes[lane] = append(lanes[lane], r)
	}
	names := make([]string, 0, len(lanes))
	for name := range lanes {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s\n", name)
		for i, r := range lanes[name] {
			cause := r.Cause
			r.Cause = 0
			fmt.Fprintf(&b, "%4d %-9s %s", i+1, layerName(r.Layer), sentence(r))
			if at, ok := place[cause]; ok {
				fmt.Fprintf(&b, "  <- %s", at)
			}
			b.WriteString("\n")
			for _, f := range r.Fields {
				fmt.Fprintf(&b, "%16s%s: %s\n", "", f.Name, f.Value)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Part returns the events of one scene.
func Part(records []trace.Record, scene string) []trace.Record {
	var part []trace.Record
	in := false
	for _, r := range records {
		if r.Op == opScene {
			in = r.Text == scene
		}
		if in {
			part = append(part, r)
		}
	}
	return part
}
